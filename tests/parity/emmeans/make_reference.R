# Reference numbers from R's emmeans for the parity tests.
#
#   Rscript make_reference.R
#
# Writes unbalanced.csv (simulated, a fixed seed) and reference.json beside this script.
# README.md describes the fields.

suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(emmeans)
  library(jsonlite)
})
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)
emm_options(lmerTest.limit = 1e4, pbkrtest.limit = 1e4)

here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
control <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5),
                       calc.derivs = FALSE)

set.seed(20)
n <- 160
d <- data.frame(
  A = sample(c("a1", "a2", "a3"), n, TRUE, c(0.5, 0.3, 0.2)),
  B = sample(c("b1", "b2"), n, TRUE, c(0.7, 0.3)),
  C = sample(c("c1", "c2", "c3"), n, TRUE, c(0.2, 0.3, 0.5)),
  z = sample(0:1, n, TRUE, c(0.8, 0.2)),
  flag = sample(c(TRUE, FALSE), n, TRUE, c(0.25, 0.75)),
  dose = sample(c(1, 2, 4), n, TRUE, c(0.5, 0.3, 0.2)),
  x = round(runif(n, 1, 9), 3),
  g = sprintf("g%02d", rep(1:20, each = 8)),
  w = round(runif(n, 0.3, 3), 2),
  stringsAsFactors = FALSE)
b <- rnorm(20)
s <- 0.3 * rnorm(20)
k <- as.integer(factor(d$g))
d$y <- round(10 + c(a1 = 0, a2 = 1, a3 = 1.6)[d$A] + 0.8 * (d$B == "b2") + 0.5 * d$x
             - 0.4 * (d$A == "a3") * d$x + 0.7 * (d$B == "b2") * (d$A == "a2") + 0.6 * d$z
             + b[k] + s[k] * d$x + rnorm(n), 4)
write.csv(d, file.path(here, "unbalanced.csv"), row.names = FALSE)
for (f in c("A", "B", "C", "g")) d[[f]] <- factor(d[[f]])
sets <- list(unbalanced = d, cake = lme4::cake, sleepstudy = lme4::sleepstudy)

frame <- function(x) {
  x <- as.data.frame(x)
  x[] <- lapply(x, function(v) if (is.factor(v)) as.character(v) else v)
  x
}

cases <- list()
add <- function(name, data, formula, specs, by = NULL, at = NULL, weights = "equal",
                df = "satterthwaite", contrast = NULL, adjust = NULL, var = NULL,
                model_weights = NULL, reml = TRUE) {
  rows <- sets[[data]]
  rows$.w <- if (is.null(model_weights)) 1 else rows[[model_weights]]
  rows <<- rows  # emmeans evaluates the call again, in the global environment
  call <- if (is.null(model_weights)) {
    substitute(lmer(F, rows, REML = R, control = control), list(F = formula, R = reml))
  } else {
    substitute(lmer(F, rows, REML = R, control = control, weights = .w),
               list(F = formula, R = reml))
  }
  m <- eval(call, globalenv())
  args <- list(m, specs, by = by, weights = weights, lmer.df = df)
  if (!is.null(at)) args$at <- at
  if (!is.null(var)) args$var <- var
  # emmeans takes a forward difference, of 0.001 of the range by default
  if (!is.null(var)) args$delta.var <- 1e-6
  e <- suppressMessages(do.call(if (is.null(var)) emmeans else emtrends, args))
  means <- frame(summary(e, infer = c(TRUE, FALSE)))
  tests <- NULL
  if (!is.null(contrast)) {
    con <- contrast(e, contrast, adjust = adjust)
    tests <- cbind(frame(summary(con, infer = c(TRUE, TRUE), adjust = adjust)))
  }
  cases[[name]] <<- list(
    data = data, formula = paste(deparse(formula, width.cutoff = 500L), collapse = " "),
    specs = I(specs), by = if (is.null(by)) list() else I(by), at = at, weights = weights,
    df = df, contrast = contrast, adjust = adjust, var = var, model_weights = model_weights,
    reml = reml, means = means, tests = tests)
}

add("cake_recipe", "cake", angle ~ recipe + temperature + (1 | recipe:replicate), "recipe",
    contrast = "pairwise", adjust = "tukey")
add("cake_recipe_kr", "cake", angle ~ recipe + temperature + (1 | recipe:replicate), "recipe",
    df = "kenward-roger", contrast = "pairwise", adjust = "tukey")
add("cake_recipe_z", "cake", angle ~ recipe + temperature + (1 | recipe:replicate), "recipe",
    df = "asymptotic", contrast = "pairwise", adjust = "tukey")
add("cake_by_recipe", "cake", angle ~ recipe * temperature + (1 | recipe:replicate),
    "temperature", by = "recipe", contrast = "pairwise", adjust = "tukey")
add("cake_by_temperature", "cake", angle ~ recipe * temperature + (1 | recipe:replicate),
    "recipe", by = "temperature", contrast = "pairwise", adjust = "holm")
for (df in c("asymptotic", "satterthwaite", "kenward-roger")) {
  for (weights in c("equal", "proportional")) {
    add(paste("two_way", weights, df, sep = "_"), "unbalanced",
        y ~ A * B + C + x + (1 + x | g), "A", weights = weights, df = df,
        contrast = "pairwise", adjust = "tukey")
  }
  add(paste("cells", df, sep = "_"), "unbalanced", y ~ A * B + C + x + (1 + x | g), c("A", "B"),
      df = df, contrast = "pairwise", adjust = "bonferroni")
  add(paste("trends", df, sep = "_"), "unbalanced", y ~ A * x + B + (1 + x | g), "A", var = "x",
      df = df, contrast = "pairwise", adjust = "tukey")
}
add("by_interaction", "unbalanced", y ~ A * B + x + (1 | g), "A", by = "B",
    contrast = "pairwise", adjust = "tukey")
add("ml", "unbalanced", y ~ A * B + x + (1 | g), "A", by = "B", reml = FALSE,
    contrast = "pairwise", adjust = "none")
add("at_values", "unbalanced", y ~ A * x + B + (1 | g), "A", at = list(x = 3, B = "b2"),
    contrast = "pairwise", adjust = "tukey")
add("covariate_values", "unbalanced", y ~ A * x + B + (1 | g), "x", by = "A",
    at = list(x = c(2, 5)), contrast = "pairwise", adjust = "tukey")
add("two_valued", "unbalanced", y ~ A + z + flag + (1 | g), "A",
    contrast = "trt.vs.ctrl", adjust = "none")
add("two_valued_proportional", "unbalanced", y ~ A * z + flag + (1 | g), "A",
    weights = "proportional", contrast = "trt.vs.ctrl", adjust = "holm")
add("dose_factor", "unbalanced", y ~ factor(dose) * A + x + (1 | g), "dose",
    contrast = "eff", adjust = "none")
add("transformed", "unbalanced", y ~ A * log(x) + poly(x, 2) + B + (1 | g), "A",
    contrast = "eff", adjust = "holm")
add("custom", "unbalanced", y ~ A + B + x + (1 | g), "A",
    contrast = list("a1 vs rest" = c(1, -0.5, -0.5), "a2 vs a3" = c(0, 1, -1), "a1" = c(1, 0, 0)),
    adjust = "none")
add("weighted", "unbalanced", y ~ A * B + x + (1 | g), "A", model_weights = "w",
    contrast = "pairwise", adjust = "tukey")
add("weighted_proportional", "unbalanced", y ~ A * B + C + x + (1 | g), "A", model_weights = "w",
    weights = "proportional", contrast = "pairwise", adjust = "tukey")
add("offset", "unbalanced", y ~ A * B + x + offset(log(w)) + (1 | g), "A",
    contrast = "pairwise", adjust = "tukey")
add("trends_curved", "unbalanced", y ~ A * poly(x, 2) + B + (1 | g), "A", var = "x",
    at = list(x = c(3)), contrast = "pairwise", adjust = "tukey")
add("trends_log", "unbalanced", y ~ A * log(x) + B + (1 | g), "A", var = "x",
    contrast = "trt.vs.ctrl", adjust = "none")
add("grand_mean", "unbalanced", y ~ A * B + x + (1 | g), "1")

versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "emmeans"),
                   function(p) as.character(packageVersion(p)))
out <- list(versions = as.list(c(R = as.character(getRversion()), versions)),
            control = "lmerControl(optimizer = \"bobyqa\", rhoend = 1e-10)", cases = cases)
writeLines(toJSON(out, digits = NA, auto_unbox = TRUE, pretty = TRUE, null = "null", na = "null"),
           file.path(here, "reference.json"))
