# Predictions of lme4 and nlme's lm for the parity tests.
#
#   Rscript make_reference.R [OUT_DIR]
#
# Writes predictions.json: by fit, predict() with every form of re.form, on training rows and on
# new ones; and standard errors of x'beta + z'b by the matrices of the fit, which lme4 1.1-31
# has no function for: sigma^2 h' M^-1 h from getME, and z' Sigma z for new levels.

suppressPackageStartupMessages({
  library(lme4)
  library(jsonlite)
})
options(contrasts = c("contr.treatment", "contr.treatment"))
args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args)) args[[1L]] else here

control <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE,
  check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore"
)

# Variance of the error of x'beta + z'b, given theta and sigma, for training rows.
error_variance <- function(m) {
  Z <- getME(m, "Z"); X <- getME(m, "X"); L <- getME(m, "Lambda"); W <- Diagonal(x = weights(m))
  H <- cbind(Z %*% L, X)
  M <- crossprod(H, W %*% H)
  q <- ncol(Z)
  M[cbind(seq_len(q), seq_len(q))] <- M[cbind(seq_len(q), seq_len(q))] + 1
  sigma(m)^2 * rowSums(as.matrix(H) * t(solve(as.matrix(M), t(as.matrix(H)))))
}

record <- function(m, forms, new, ...) {
  of <- function(...) unname(predict(m, ...))
  list(
    formula = deparse1(formula(m)),
    theta = unname(getME(m, "theta")),
    sigma = sigma(m),
    fitted = of(),
    population = of(re.form = NA),
    partial = lapply(forms, function(f) of(re.form = f)),
    new = new,
    new_conditional = of(newdata = new, allow.new.levels = TRUE),
    new_population = of(newdata = new, re.form = NA),
    new_partial = lapply(forms, function(f) of(newdata = new, re.form = f, allow.new.levels = TRUE)),
    se_conditional = sqrt(error_variance(m)),
    se_population = sqrt(rowSums((getME(m, "X") %*% as.matrix(vcov(m))) * getME(m, "X"))),
    ...
  )
}

sleep <- sleepstudy
sleep$w <- 1 + (seq_len(nrow(sleep)) %% 3) / 2
sleep_new <- data.frame(Days = c(0, 3.5, 9, 12), Subject = c("308", "372", "999", "308"))

fits <- list(
  sleepstudy_slope = record(
    lmer(Reaction ~ Days + (Days | Subject), sleep, control = control), list(), sleep_new
  ),
  sleepstudy_independent = record(
    lmer(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), sleep, control = control),
    list(
      `(1 | Subject)` = ~ (1 | Subject),
      `(0 + Days | Subject)` = ~ (0 + Days | Subject)
    ),
    sleep_new
  ),
  sleepstudy_weights = record(
    lmer(Reaction ~ Days + (Days | Subject), sleep, weights = w, control = control),
    list(), sleep_new, weights = sleep$w
  ),
  sleepstudy_offset = record(
    lmer(Reaction ~ Days + offset(5 * Days) + (1 | Subject), sleep, control = control),
    list(), sleep_new
  ),
  penicillin = record(
    lmer(diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin, control = control),
    list(`(1 | plate)` = ~ (1 | plate), `(1 | sample)` = ~ (1 | sample)),
    data.frame(plate = c("a", "z", "c", "new"), sample = c("B", "A", "new", "new"))
  ),
  pastes = record(
    lmer(strength ~ 1 + (1 | batch/cask), Pastes, control = control),
    list(`(1 | batch)` = ~ (1 | batch)),
    data.frame(batch = c("A", "B", "new"), cask = c("a", "new", "a"))
  ),
  cake = record(
    lmer(angle ~ recipe * temperature + (1 | recipe:replicate), cake, control = control),
    list(),
    data.frame(
      recipe = c("A", "C", "B"), temperature = c("175", "225", "205"),
      replicate = c("1", "15", "99")
    )
  )
)

# Ordinary linear models: exact t intervals.
lm_fit <- lm(dist ~ speed, cars, weights = rep(c(1, 2), 25))
lm_new <- data.frame(speed = c(5, 20, 30))
linear <- list(
  data = cars, weights = rep(c(1, 2), 25), new = lm_new,
  confidence = predict(lm_fit, lm_new, interval = "confidence", level = 0.9),
  prediction = suppressWarnings(predict(lm_fit, lm_new, interval = "prediction", level = 0.9))
)

versions <- list(
  R = R.version.string, lme4 = as.character(packageVersion("lme4")),
  Matrix = as.character(packageVersion("Matrix"))
)
write_json(
  list(versions = versions, fits = fits, linear = linear),
  file.path(out, "predictions.json"), digits = I(17), auto_unbox = TRUE, matrix = "rowmajor"
)
