# Reference numbers from glmmTMB for AR(1) residuals that cross a random factor.
#
#   Rscript make_crossed.R
#
# Run in this folder: writes crossed.csv and crossed.json; README.md describes them.
suppressPackageStartupMessages({
  library(glmmTMB)
  library(jsonlite)
})
set.seed(20)
S <- 14
I <- 10
d <- expand.grid(t = seq_len(I) - 1, s = sprintf("s%02d", seq_len(S)), stringsAsFactors = FALSE)
d$item <- sprintf("i%02d", unlist(lapply(seq_len(S), function(k) sample(I))))
d$x <- round(rnorm(nrow(d)), 3)
e <- unlist(lapply(seq_len(S), function(k) as.numeric(arima.sim(list(ar = 0.6), I))))
d$y <- round(2 + 0.5 * d$x + rnorm(S)[match(d$s, unique(d$s))] +
               0.8 * rnorm(I)[match(d$item, sort(unique(d$item)))] + e, 3)
d <- d[-c(5, 6, 33, 77, 78, 79, 120), ] # gaps
write.csv(d, "crossed.csv", row.names = FALSE)
d$time <- factor(d$t, levels = seq_len(I) - 1)
control <- glmmTMBControl(optCtrl = list(iter.max = 1e4, eval.max = 1e4, rel.tol = 1e-14))
cases <- list()
for (reml in c(TRUE, FALSE)) {
  m <- glmmTMB(y ~ x + (1 | s) + (1 | item) + ar1(time + 0 | s), dispformula = ~0, data = d,
               REML = reml, control = control)
  v <- VarCorr(m)$cond
  cases[[if (reml) "reml" else "ml"]] <- list(
    loglik = as.numeric(logLik(m)), npar = attr(logLik(m), "df"),
    beta = as.list(fixef(m)$cond), se = as.list(sqrt(diag(vcov(m)$cond))),
    sd = list(s = attr(v[["s"]], "stddev")[[1]], item = attr(v[["item"]], "stddev")[[1]]),
    sigma = attr(v[["s.1"]], "stddev")[[1]], ar1 = attr(v[["s.1"]], "correlation")[1, 2])
}
versions <- list(R = R.version.string, glmmTMB = as.character(packageVersion("glmmTMB")),
                 TMB = as.character(packageVersion("TMB")))
write_json(list(versions = versions, cases = cases), "crossed.json",
           auto_unbox = TRUE, digits = NA, pretty = TRUE)
