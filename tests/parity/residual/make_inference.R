# Wald intervals of the parameters of residual structures from nlme, and degrees of freedom of
# means from emmeans, whose derivatives are numeric.
#
#   Rscript make_inference.R
#
# Run in this folder, after make_reference.R: writes inference.json; README.md describes it.
suppressPackageStartupMessages({
  library(nlme)
  library(emmeans)
  library(jsonlite)
})
tight <- lmeControl(opt = "nlminb", maxIter = 500, msMaxIter = 500, msMaxEval = 2000,
                    niterEM = 200, tolerance = 1e-12)
tight_gls <- glsControl(opt = "nlminb", maxIter = 500, msMaxIter = 500, tolerance = 1e-12)
orthodont <- read.csv("orthodont.csv", stringsAsFactors = TRUE)
orthodont <- orthodont[order(orthodont$Sex == "Male"), ] # varIdent's first level is Female
ovary <- read.csv("ovary.csv", stringsAsFactors = TRUE)

cases <- list()
add <- function(name, data, formula, kind, by, time, method, fit, df = NULL) {
  i <- intervals(fit)
  out <- list(data = data, formula = formula, kind = kind, by = by, time = time, method = method)
  part <- if (is.null(i$corStruct)) i$varStruct else i$corStruct
  out$lower <- as.numeric(part[, "lower"])
  out$estimate <- as.numeric(part[, "est."])
  out$upper <- as.numeric(part[, "upper"])
  if (!is.null(df)) out$df <- df
  cases[[name]] <<- out
}
means <- function(fit, data, mode) {
  set.seed(1)
  g <- as.data.frame(emmeans(fit, "Sex", mode = mode, data = data))
  setNames(as.list(g$df), as.character(g$Sex))
}

for (method in c("REML", "ML")) {
  m <- gls(distance ~ age + Sex, orthodont, corAR1(form = ~ visit | Subject), method = method,
           control = tight_gls)
  add(paste0("gls_ar1_", method), "orthodont", "distance ~ age + Sex", "AR1", "Subject", "visit",
      method, m, if (method == "REML") means(m, orthodont, "satterthwaite"))
  m <- gls(distance ~ age + Sex, orthodont, corCompSymm(form = ~ 1 | Subject), method = method,
           control = tight_gls)
  add(paste0("gls_cs_", method), "orthodont", "distance ~ age + Sex", "CompoundSymmetry",
      "Subject", NULL, method, m, if (method == "REML") means(m, orthodont, "satterthwaite"))
  m <- gls(distance ~ age + Sex, orthodont, weights = varIdent(form = ~ 1 | Sex), method = method,
           control = tight_gls)
  add(paste0("gls_ratios_", method), "orthodont", "distance ~ age + Sex", "VarianceBy", "Sex",
      NULL, method, m, if (method == "REML") means(m, orthodont, "satterthwaite"))
  m <- lme(follicles ~ s + c, ovary, ~ 1 | Mare, corAR1(form = ~ step | Mare), method = method,
           control = tight)
  add(paste0("lme_ar1_", method), "ovary", "follicles ~ s + c + (1 | Mare)", "AR1", "Mare",
      "step", method, m)
  m <- lme(distance ~ age * Sex, orthodont, ~ 1 | Subject, weights = varIdent(form = ~ 1 | Sex),
           method = method, control = tight)
  add(paste0("lme_ratios_", method), "orthodont", "distance ~ age * Sex + (1 | Subject)",
      "VarianceBy", "Sex", NULL, method, m)
}
versions <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")),
                 emmeans = as.character(packageVersion("emmeans")))
write_json(list(versions = versions, cases = cases), "inference.json",
           auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null")
