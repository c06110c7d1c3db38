# Reference numbers from lmerTest and pbkrtest.
#
#   Rscript make_reference.R [OUT_DIR]
#
# Writes inference.json, and the data that bayeslmm does not bundle as CSV (README.md).

suppressPackageStartupMessages({
  library(lmerTest)
  library(pbkrtest)
})
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)

args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args) >= 1L) args[[1L]] else here

# ---- JSON with 17 significant digits ---------------------------------------------------
atoms <- function(x) {
  if (is.numeric(x)) ifelse(is.finite(x), sprintf("%.17g", x), "null")
  else paste0("\"", gsub("\"", "\\\"", as.character(x), fixed = TRUE), "\"")
}
json <- function(x) {
  if (is.list(x)) {
    body <- vapply(x, json, "")
    if (is.null(names(x))) return(paste0("[", paste(body, collapse = ", "), "]"))
    return(paste0("{", paste0("\"", names(x), "\": ", body, collapse = ",\n "), "}"))
  }
  if (length(x) == 1L && is.null(attr(x, "many"))) return(atoms(x))
  paste0("[", paste(atoms(x), collapse = ", "), "]")
}
many <- function(x) structure(unname(x), many = TRUE)

# ---- data ------------------------------------------------------------------------------
csv <- function(data, name) {
  write.csv(format(data, digits = 17, trim = TRUE), file.path(out, paste0(name, ".csv")),
            row.names = FALSE, quote = FALSE)
  read.csv(file.path(out, paste0(name, ".csv")), stringsAsFactors = TRUE)
}
machines <- csv(data.frame(Worker = paste0("w", nlme::Machines$Worker),
                           Machine = as.character(nlme::Machines$Machine),
                           score = nlme::Machines$score), "machines")
machines_unbalanced <- machines[-c(2, 3, 6, 7, 11, 18, 19, 25, 40, 41, 52), ]
oats <- csv(data.frame(Block = as.character(nlme::Oats$Block),
                       Variety = gsub(" ", "", nlme::Oats$Variety),
                       nitro = paste0("n", 10 * nlme::Oats$nitro),
                       yield = nlme::Oats$yield), "oats")

set.seed(20240501)
crossed <- local({
  n <- 240
  g <- factor(sample(paste0("g", 10:27), n, TRUE))
  h <- factor(sample(paste0("h", 10:21), n, TRUE))
  x <- rnorm(n)
  z <- runif(n, 1, 3)
  y <- 3 + 0.8 * x - 0.4 * z + rnorm(18)[g] + (0.7 * rnorm(18))[g] * x + (1.2 * rnorm(12))[h] +
    (0.5 * rnorm(12))[h] * z + rnorm(n)
  csv(data.frame(g, h, x = round(x, 6), z = round(z, 6), y = round(y, 6)), "crossed")
})
unbalanced <- local({
  a <- sample(c("a1", "a2", "a3"), 150, TRUE, c(0.5, 0.3, 0.2))
  b <- sample(c("b1", "b2"), 150, TRUE, c(0.65, 0.35))
  s <- factor(sample(paste0("s", 10:29), 150, TRUE))
  x <- round(rnorm(150, 5, 2), 4)
  w <- sample(c(0.5, 1, 2, 4), 150, TRUE)
  y <- round(10 + 2 * (a == "a2") + 1.5 * (b == "b2") - (a == "a3" & b == "b2") + 0.3 * x +
    (1.5 * rnorm(20))[s] + rnorm(150) / sqrt(w), 5)
  csv(data.frame(a, b, s, x, w, y), "unbalanced")
})
missing_cell <- unbalanced[!(unbalanced$a == "a3" & unbalanced$b == "b2"), ]
insteval <- droplevels(InstEval[as.integer(as.character(InstEval$d)) <= 30, ])

# ---- fits ------------------------------------------------------------------------------
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e6),
                     calc.derivs = FALSE, check.conv.singular = "ignore",
                     check.nobs.vs.rankZ = "ignore", check.nlev.gtreq.5 = "ignore")
sleepstudy$w <- 1 + (seq_len(180) %% 3) / 2
data_of <- list(sleepstudy = sleepstudy, Penicillin = Penicillin, Pastes = Pastes, cake = cake,
                Dyestuff2 = Dyestuff2, insteval = insteval, machines = machines,
                machines_unbalanced = machines_unbalanced, oats = oats, crossed = crossed,
                unbalanced = unbalanced, missing_cell = missing_cell)
fits <- list(
  sleepstudy = list("sleepstudy", Reaction ~ Days + (Days | Subject)),
  sleepstudy_ml = list("sleepstudy", Reaction ~ Days + (Days | Subject), ml = TRUE),
  sleepstudy_independent = list("sleepstudy", Reaction ~ Days + (Days || Subject)),
  sleepstudy_weights = list("sleepstudy", Reaction ~ Days + (Days | Subject), w = TRUE),
  penicillin = list("Penicillin", diameter ~ 1 + (1 | plate) + (1 | sample)),
  pastes = list("Pastes", strength ~ cask + (1 | batch / cask)),
  cake = list("cake", angle ~ recipe * temperature + (1 | recipe:replicate)),
  insteval = list("insteval", y ~ service * studage + (1 | s) + (1 | d) + (1 | dept)),
  machines = list("machines", score ~ Machine + (1 | Worker / Machine)),
  machines_slopes = list("machines_unbalanced", score ~ Machine + (0 + Machine | Worker)),
  machines_unbalanced = list("machines_unbalanced", score ~ Machine + (1 | Worker / Machine)),
  oats = list("oats", yield ~ Variety * nitro + (1 | Block / Variety)),
  crossed = list("crossed", y ~ x + z + (x | g) + (z | h)),
  crossed_ml = list("crossed", y ~ x + z + (x | g) + (z | h), ml = TRUE),
  unbalanced = list("unbalanced", y ~ a * b + x + (1 | s)),
  unbalanced_covariate = list("unbalanced", y ~ a * x + b + (1 | s)),
  unbalanced_weights = list("unbalanced", y ~ a * b + x + (1 | s), w = TRUE),
  missing_cell = list("missing_cell", y ~ a * b + x + (1 | s)),
  dyestuff2 = list("Dyestuff2", Yield ~ 1 + (1 | Batch)),
  singular_slopes = list("unbalanced", y ~ a * b + x + (x | s))
)

coefficients_of <- function(m, ddf) {
  t <- coef(summary(m, ddf = ddf))
  list(estimate = many(t[, 1]), se = many(t[, 2]), df = many(t[, 3]), p = many(t[, 5]))
}
table_of <- function(m, type, ddf) {
  a <- anova(m, type = type, ddf = ddf)
  list(term = many(rownames(a)), sumsq = many(a[[1]]), meansq = many(a[[2]]),
       df_num = many(a[[3]]), df_den = many(a[[4]]), F = many(a[[5]]), p = many(a[[6]]))
}
joint_of <- function(m, ddf) {
  p <- length(fixef(m))
  t <- contestMD(m, diag(p)[seq.int(min(2, p), p), , drop = FALSE], ddf = ddf)
  list(df_num = t$NumDF, df_den = t$DenDF, F = t[["F value"]], p = t[["Pr(>F)"]])
}

reference <- list()
models <- list()
for (name in names(fits)) {
  fit <- fits[[name]]
  d <- data_of[[fit[[1]]]]
  cat(name, nrow(d), "\n")
  call <- list(as.name("lmer"), fit[[2]], data = as.name("d"), REML = is.null(fit$ml), control = tight)
  if (!is.null(fit$w)) call$weights <- as.name("w")
  m <- eval(as.call(call))
  models[[name]] <- m
  # pbkrtest leaves the weights out of the residual's part of V
  methods <- c("Satterthwaite", if (is.null(fit$ml) && is.null(fit$w)) "Kenward-Roger")
  one <- list(data = fit[[1]], n = nrow(d), names = many(names(fixef(m))), reml = as.numeric(is.null(fit$ml)),
              formula = paste(deparse(fit[[2]], 200), collapse = ""),
              theta = many(getME(m, "theta")), sigma = sigma(m), criterion = -2 * as.numeric(logLik(m)))
  for (ddf in methods) {
    r <- list(coefficients = coefficients_of(m, ddf), joint = joint_of(m, ddf))
    # pbkrtest works with n x n matrices, anew for every term
    small <- ddf == "Satterthwaite" || nrow(d) < 500
    if (length(attr(terms(m), "term.labels")) && small) {
      for (type in c("I", "II", "III")) r[[type]] <- table_of(m, type, ddf)
    }
    one[[tolower(ddf)]] <- r
  }
  # reduced models are fitted again, without weights in reach
  if (is.null(fit$w) && name != "singular_slopes") {
    r <- ranova(m)
    one$ranova <- list(term = many(rownames(r)), npar = many(r$npar), llf = many(r$logLik),
                       lrt = many(r$LRT), df = many(r$Df), p = many(r[[6]]))
  }
  reference[[name]] <- one
}

# ---- likelihood-ratio tests of pairs of fits -------------------------------------------
pair <- function(data, small, large, reml) {
  d <- data_of[[data]]
  a <- lme4::lmer(small, d, REML = reml, control = tight)
  b <- lme4::lmer(large, d, REML = reml, control = tight)
  t <- anova(a, b, refit = FALSE)
  list(data = data, small = paste(deparse(small, 200), collapse = ""),
       large = paste(deparse(large, 200), collapse = ""), reml = as.numeric(reml),
       npar = many(t$npar), aic = many(t$AIC), bic = many(t$BIC), llf = many(t$logLik),
       lrt = t$Chisq[2], df = t$Df[2], p = t[["Pr(>Chisq)"]][2])
}
pairs <- list(
  slopes_reml = pair("sleepstudy", Reaction ~ Days + (1 | Subject),
                     Reaction ~ Days + (Days | Subject), TRUE),
  correlation_reml = pair("sleepstudy", Reaction ~ Days + (Days || Subject),
                          Reaction ~ Days + (Days | Subject), TRUE),
  fixed_ml = pair("sleepstudy", Reaction ~ 1 + (Days | Subject),
                  Reaction ~ Days + (Days | Subject), FALSE),
  interaction_ml = pair("unbalanced", y ~ a + b + x + (1 | s), y ~ a * b + x + (1 | s), FALSE),
  crossed_ml = pair("crossed", y ~ x + z + (1 | g) + (1 | h), y ~ x + z + (x | g) + (1 | h), FALSE)
)

versions <- lapply(c(lme4 = "lme4", lmerTest = "lmerTest", pbkrtest = "pbkrtest",
                     numDeriv = "numDeriv", nlme = "nlme"),
                   function(p) as.character(packageVersion(p)))
versions$R <- paste(R.version$major, R.version$minor, sep = ".")
writeLines(json(list(versions = versions, fits = reference, pairs = pairs)),
           file.path(out, "inference.json"))
