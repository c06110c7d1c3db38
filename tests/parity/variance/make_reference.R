# Reference numbers from R's performance (icc, r2) for the parity tests.
#
#   Rscript make_reference.R
#
# Writes reference.json beside this script; README.md describes the fields. The data of the
# unbalanced fits are ../emmeans/unbalanced.csv.

suppressPackageStartupMessages({
  library(lme4)
  library(performance)
  library(jsonlite)
})
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)

here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                       calc.derivs = FALSE)
unbalanced <- read.csv(file.path(here, "..", "emmeans", "unbalanced.csv"), stringsAsFactors = TRUE)
sets <- list(unbalanced = unbalanced, cake = lme4::cake, sleepstudy = lme4::sleepstudy,
             Pastes = lme4::Pastes, Penicillin = lme4::Penicillin, Dyestuff = lme4::Dyestuff)

cases <- list()
add <- function(name, data, formula, reml = TRUE) {
  rows <<- sets[[data]]
  m <- eval(substitute(lmer(F, rows, REML = R, control = control),
                       list(F = formula, R = reml)), globalenv())
  whole <- icc(m)
  r <- r2(m)
  slopes <- any(lengths(m@cnms) > 1L) || any(unlist(m@cnms) != "(Intercept)")
  groups <- if (slopes || length(m@cnms) == 1L) NULL else as.data.frame(icc(m, by_group = TRUE))
  cases[[name]] <<- list(
    data = data, formula = paste(deparse(formula, width.cutoff = 500L), collapse = " "),
    reml = reml, adjusted = whole$ICC_adjusted, unadjusted = whole$ICC_unadjusted,
    marginal = unname(r$R2_marginal), conditional = unname(r$R2_conditional), by_group = groups)
}

add("dyestuff", "Dyestuff", Yield ~ 1 + (1 | Batch))
add("sleepstudy_intercept", "sleepstudy", Reaction ~ Days + (1 | Subject))
add("sleepstudy_slope", "sleepstudy", Reaction ~ Days + (Days | Subject))
add("sleepstudy_slope_ml", "sleepstudy", Reaction ~ Days + (Days | Subject), reml = FALSE)
add("penicillin", "Penicillin", diameter ~ 1 + (1 | plate) + (1 | sample))
add("pastes", "Pastes", strength ~ 1 + (1 | batch) + (1 | batch:cask))
add("cake", "cake", angle ~ recipe * temperature + (1 | recipe:replicate))
add("unbalanced", "unbalanced", y ~ A * x + B + (1 + x | g))

versions <- sapply(c("lme4", "performance", "insight"), function(p) as.character(packageVersion(p)))
out <- list(versions = as.list(c(R = as.character(getRversion()), versions)),
            control = "lmerControl(optimizer = \"bobyqa\", rhoend = 1e-10)", cases = cases)
writeLines(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE, null = "null", na = "null"),
           file.path(here, "reference.json"))
