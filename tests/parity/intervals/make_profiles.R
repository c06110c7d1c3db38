# Profile intervals from lme4, for the parity tests.
#
#   Rscript make_profiles.R [OUT_DIR]
#
# For each fit and parameter two pairs of 95 % limits: what confint(profile(fit)) gives, which
# interpolates between the points of its profile, and `exact`: the roots of
#   min over the other parameters of the deviance - its minimum = qchisq(0.95, 1)
# in lme4's own deviance functions (lme4:::devfun2 for SDs, correlations and sigma; the
# profiled deviance with the column in the offset for fixed effects), by uniroot to 1e-10.

suppressPackageStartupMessages(library(lme4))
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)
args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "",
                                  grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args) >= 1L) args[[1L]] else here

control <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE,
                       optCtrl = list(rhoend = 1e-9, maxfun = 1e5),
                       check.conv.singular = "ignore")
dir.create(file.path(out, "profiles"), showWarnings = FALSE)
cutoff <- qchisq(0.95, 1)

# the lowest value from several starts, each search repeated from where it ended
lowest <- function(f, starts, lower, upper) {
  best <- Inf
  for (start in starts) for (again in 1:3) {
    found <- nlminb(start, f, lower = lower, upper = upper,
                    control = list(rel.tol = 1e-15, x.tol = 1e-12, eval.max = 5000, iter.max = 5000))
    start <- found$par
    best <- min(best, found$objective)
  }
  best
}

limits <- function(excess, at, step, ends) {
  sapply(c(-1, 1), function(side) {
    end <- ends[[(side + 3) / 2]]
    far <- step
    repeat {
      trial <- at + side * far
      if (side * (trial - end) >= 0) {
        if (excess(end) <= cutoff) return(end)
        trial <- end
      }
      if (excess(trial) > cutoff) break
      far <- 1.5 * far
    }
    uniroot(function(v) excess(v) - cutoff, sort(c(at + side * 1e-9, trial)), tol = 1e-10)$root
  })
}

variance_limits <- function(fit) {
  deviance <- lme4:::devfun2(fit)
  at <- attr(deviance, "optimum")
  at <- at[seq_len(length(at) - length(fixef(fit)))]
  base <- attr(deviance, "basedev")
  names <- names(lme4:::profnames(fit))
  correlations <- grepl("^cor_", lme4:::profnames(fit, signames = FALSE))
  lower <- ifelse(correlations, -1, 0)
  lower[length(lower)] <- 1e-6
  upper <- ifelse(correlations, 1, Inf)
  t(sapply(seq_along(at), function(i) {
    excess <- function(value) {
      f <- function(rest) { p <- at; p[-i] <- rest; p[i] <- value; deviance(p) }
      shifted <- ifelse(correlations, 0, pmax(at, 0.1 * at[length(at)]))
      lowest(f, list(at[-i], shifted[-i]), lower[-i], upper[-i]) - base
    }
    step <- if (correlations[i]) 0.2 else 0.3 * max(at[i], 0.1 * at[length(at)])
    last <- i == length(at)
    limits(excess, at[i], step, c(if (last) 0.1 * at[i] else lower[i], upper[i]))
  }))
}

fixed_limits <- function(fit, formula, data, weights, which) {
  base <- -2 * as.numeric(logLik(fit))
  se <- sqrt(diag(as.matrix(vcov(fit))))
  call <- list(formula = formula, data = data, REML = FALSE, control = control)
  if (!is.null(weights)) call$weights <- weights
  whole <- do.call(lFormula, call)
  t(sapply(which, function(j) {
    excess <- function(value) {
      part <- whole
      part$X <- whole$X[, -j, drop = FALSE]
      # added to the offset that the formula has
      part$fr[["(offset)"]] <- value * whole$X[, j]
      f <- do.call(mkLmerDevfun, c(part[c("fr", "X", "reTrms")], REML = FALSE))
      theta <- getME(fit, "theta")
      lowest(f, list(theta, ifelse(getME(fit, "lower") == 0, pmax(theta, 0.3), 0)),
             getME(fit, "lower"), rep(Inf, length(theta))) - base
    }
    limits(excess, fixef(fit)[[j]], se[[j]], c(-Inf, Inf))
  }))
}

number <- function(x) ifelse(is.finite(x), sprintf("%.12g", x), "null")
pairs <- function(m) paste0("[", paste(apply(m, 1, function(r)
  paste0("[", paste(number(r), collapse = ", "), "]")), collapse = ", "), "]")
quoted <- function(x) paste0("[", paste0("\"", x, "\"", collapse = ", "), "]")

one <- function(name, dataset, formula, data, weights = NULL, fixed = NULL) {
  call <- list(formula = formula, data = data, REML = FALSE, control = control)
  if (!is.null(weights)) call$weights <- weights
  fit <- do.call(lmer, call)
  which <- if (is.null(fixed)) seq_along(fixef(fit)) else fixed
  n_variance <- length(lme4:::profnames(fit))
  parm <- c(seq_len(n_variance), n_variance + which)
  theirs <- tryCatch(confint(profile(fit, which = parm, signames = FALSE)),
                     error = function(e) { message(name, ": ", e$message); NULL })
  if (is.null(theirs)) theirs <- matrix(NA_real_, length(parm), 2)
  exact <- rbind(variance_limits(fit), fixed_limits(fit, formula, data, weights, which))
  text <- paste0(
    "{\n  \"dataset\": \"", dataset, "\",\n  \"formula\": \"", deparse(formula, 500), "\",\n",
    "  \"weights\": ", if (is.null(weights)) "null" else paste0("[", paste(number(weights),
                                                              collapse = ", "), "]"), ",\n",
    "  \"variance\": ", quoted(lme4:::profnames(fit, signames = FALSE)), ",\n",
    "  \"fixed\": ", quoted(names(fixef(fit))[which]), ",\n",
    "  \"deviance\": ", sprintf("%.12g", -2 * as.numeric(logLik(fit))), ",\n",
    "  \"confint\": ", pairs(theirs), ",\n  \"exact\": ", pairs(exact), ",\n",
    "  \"versions\": {\"R\": \"", getRversion(), "\", \"lme4\": \"", packageVersion("lme4"),
    "\"}\n}\n")
  writeLines(text, file.path(out, "profiles", paste0(name, ".json")), sep = "")
  message(name, " done")
}

w <- 1 + (seq_len(180) %% 3) / 2
one("sleepstudy", "sleepstudy", Reaction ~ Days + (Days | Subject), sleepstudy)
one("sleepstudy_weights", "sleepstudy", Reaction ~ Days + (Days | Subject), sleepstudy, w)
one("sleepstudy_independent", "sleepstudy", Reaction ~ Days + (Days || Subject), sleepstudy)
one("sleepstudy_offset", "sleepstudy", Reaction ~ Days + offset(5 * Days) + (1 | Subject), sleepstudy)
one("penicillin", "Penicillin", diameter ~ 1 + (1 | plate) + (1 | sample), Penicillin)
one("pastes", "Pastes", strength ~ 1 + (1 | batch/cask), Pastes)
one("dyestuff2", "Dyestuff2", Yield ~ 1 + (1 | Batch), Dyestuff2)
cake$temperature <- factor(as.character(cake$temperature))
one("cake", "cake", angle ~ recipe * temperature + (1 | recipe:replicate), cake, fixed = c(1, 2, 8, 10))
