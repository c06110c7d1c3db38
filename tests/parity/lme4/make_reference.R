# Reference numbers from lme4 for the parity tests.
#
#   Rscript make_reference.R OUT_DIR [TMP_DIR]
#
# Writes one JSON per fit to OUT_DIR (README.md beside this script describes the
# fields). Random effects of InstEval at the optimum are long; they go to
# TMP_DIR/<name>.csv and pack_large.py turns them into Parquet.

suppressPackageStartupMessages({
  library(lme4)
  library(Matrix)
})
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)

args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args) >= 1L) args[[1L]] else here
tmp <- if (length(args) >= 2L) args[[2L]] else tempdir()
dir.create(out, showWarnings = FALSE, recursive = TRUE)
dir.create(tmp, showWarnings = FALSE, recursive = TRUE)

# ---- JSON with 17 significant digits ---------------------------------------------------
# Named lists become objects, unnamed lists and vectors arrays, `one(x)` a bare value,
# matrices lists of rows.
one <- function(x) structure(list(x), class = "one")

quoted <- function(x) {
  x <- gsub("\\", "\\\\", x, fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  paste0("\"", gsub("\n", "\\n", x, fixed = TRUE), "\"")
}

atoms <- function(x) {
  if (is.logical(x)) ifelse(is.na(x), "null", ifelse(x, "true", "false"))
  else if (is.integer(x)) ifelse(is.na(x), "null", sprintf("%d", x))
  else if (is.numeric(x)) ifelse(is.finite(x), sprintf("%.17g", x), "null")
  else quoted(as.character(x))
}

json <- function(x, pad = "") {
  if (is.null(x)) return("null")
  if (inherits(x, "one")) return(atoms(x[[1L]]))
  if (is.matrix(x)) {
    rows <- if (nrow(x)) apply(x, 1L, function(r) paste0("[", paste(atoms(r), collapse = ", "), "]"))
    return(paste0("[", paste(rows, collapse = paste0(",\n", pad, " ")), "]"))
  }
  if (is.list(x)) {
    deeper <- paste0(pad, "  ")
    if (!is.null(names(x))) {
      body <- paste0(deeper, quoted(names(x)), ": ", vapply(x, json, "", pad = deeper))
      return(paste0("{\n", paste(body, collapse = ",\n"), "\n", pad, "}"))
    }
    body <- paste0(deeper, vapply(x, json, "", pad = deeper))
    return(if (length(x)) paste0("[\n", paste(body, collapse = ",\n"), "\n", pad, "]") else "[]")
  }
  paste0("[", paste(atoms(unname(x)), collapse = ", "), "]")
}

# ---- what is read off a fitted (or merely evaluated) model -----------------------------

# Names of the entries of theta: the grouping factor, and the row and column of the lower
# triangular factor they stand in. Terms are lme4's, in lme4's order.
theta_names <- function(re_terms) {
  groups <- names(re_terms$cnms)
  do.call(c, unname(Map(function(g, cols, k) {
    pairs <- which(lower.tri(diag(length(cols)), diag = TRUE), arr.ind = TRUE)
    lapply(seq_len(nrow(pairs)), function(i) {
      list(term = one(as.integer(k)), group = one(g), row = one(cols[pairs[i, 1L]]),
           col = one(cols[pairs[i, 2L]]))
    })
  }, groups, re_terms$cnms, seq_along(groups))))
}

is_diagonal <- function(theta_labels) {
  vapply(theta_labels, function(t) identical(t$row[[1L]], t$col[[1L]]), NA)
}

varcorr <- function(m) {
  vc <- VarCorr(m)
  groups <- names(m@cnms)
  unname(Map(function(v, g, k) {
    list(term = one(as.integer(k)), group = one(g), columns = colnames(v),
         cov = unname(matrix(c(v), nrow(v))), sd = unname(attr(v, "stddev")))
  }, vc, groups, seq_along(groups)))
}

# Conditional variance of b given y, beta and theta, exactly:
# sigma^2 diag( Lambda (Lambda' Z' W Z Lambda + I)^-1 Lambda' ).
conditional_sd <- function(m) {
  Lambdat <- getME(m, "Lambdat")
  inner <- solve(getME(m, "L"), as(Lambdat, "CsparseMatrix"), system = "A")
  sigma(m) * sqrt(pmax(Matrix::colSums(Lambdat * inner), 0))
}

# One row per random effect: grouping factor, level, column, value and conditional SD, in
# the order of the vector b; lme4's own ranef() must say the same.
random_effects <- function(m) {
  flist <- getME(m, "flist")
  groups <- names(m@cnms)
  labels <- do.call(rbind, unname(Map(function(g, cols) {
    lev <- levels(flist[[g]])
    data.frame(group = g, level = rep(lev, each = length(cols)),
               column = rep(cols, times = length(lev)))
  }, groups, m@cnms)))
  b <- as.vector(getME(m, "b"))
  stopifnot(nrow(labels) == length(b))
  labels$value <- b
  labels$sd <- conditional_sd(m)
  own <- as.data.frame(ranef(m, condVar = TRUE))
  key <- function(g, l, c) paste(g, l, c, sep = "\r")
  at <- match(key(labels$group, labels$level, labels$column),
              key(as.character(own$grpvar), as.character(own$grp), as.character(own$term)))
  scale <- sigma(m)
  stopifnot(!anyNA(at), all(abs(own$condval[at] - labels$value) < 1e-9 * scale),
            all(abs(own$condsd[at] - labels$sd) < 1e-7 * scale))
  labels
}

# Per grouping factor: columns, levels, values and conditional SDs (levels x columns).
by_group <- function(effects, first = Inf) {
  lapply(unique(effects$group), function(g) {
    d <- effects[effects$group == g, ]
    cols <- unique(d$column)
    lev <- unique(d$level)
    n_levels <- length(lev)
    lev <- lev[seq_len(min(n_levels, first))]
    pick <- function(what) {
      vapply(cols, function(k) {
        e <- d[d$column == k, ]
        e[[what]][match(lev, e$level)]
      }, numeric(length(lev)))
    }
    shape <- function(x) matrix(c(x), length(lev), length(cols))
    list(group = one(g), columns = cols, n_levels = one(n_levels), levels = lev,
         values = shape(pick("value")), cond_sd = shape(pick("sd")))
  })
}

estimates <- function(m, criterion) {
  V <- as.matrix(vcov(m))
  list(theta = unname(getME(m, "theta")), criterion = one(criterion),
       sigma = one(sigma(m)), fixef = unname(fixef(m)), se = unname(sqrt(diag(V))),
       vcov = unname(matrix(c(V), nrow(V))), varcorr = varcorr(m))
}

# ---- the fits --------------------------------------------------------------------------

ctrl <- lmerControl(
  optimizer = "bobyqa", optCtrl = list(rhoend = 1e-9, maxfun = 1e5), calc.derivs = FALSE,
  check.nobs.vs.rankZ = "ignore", check.nobs.vs.nlev = "ignore", check.nlev.gtr.1 = "ignore",
  check.nobs.vs.nRE = "ignore", check.conv.singular = "ignore", check.scaleX = "ignore",
  restart_edge = TRUE, boundary.tol = 1e-5)

class_data <- read.csv(file.path(here, "..", "..", "..", "bayeslmm", "data", "files", "score_parentedu_byclass.csv"))
class_data$classroom <- factor(class_data$classroom)
sleep_w <- 1 + (seq_len(nrow(sleepstudy)) %% 3) / 2

sets <- list(sleepstudy = sleepstudy, Dyestuff = Dyestuff, Dyestuff2 = Dyestuff2,
             Penicillin = Penicillin, Pastes = Pastes, cake = cake, InstEval = InstEval,
             score_parentedu_byclass = class_data)

fit_list <- list(
  list("sleepstudy_slope", "sleepstudy", "Reaction ~ Days + (Days | Subject)", ml = TRUE),
  list("sleepstudy_independent", "sleepstudy", "Reaction ~ Days + (Days || Subject)", ml = TRUE),
  list("dyestuff", "Dyestuff", "Yield ~ 1 + (1 | Batch)"),
  list("dyestuff2", "Dyestuff2", "Yield ~ 1 + (1 | Batch)"),
  list("penicillin", "Penicillin", "diameter ~ 1 + (1 | plate) + (1 | sample)", ml = TRUE),
  list("pastes_nested", "Pastes", "strength ~ 1 + (1 | batch/cask)", ml = TRUE),
  list("pastes_explicit", "Pastes", "strength ~ 1 + (1 | batch) + (1 | batch:cask)", ml = TRUE),
  list("cake", "cake", "angle ~ recipe * temperature + (1 | recipe:replicate)", ml = TRUE),
  list("insteval", "InstEval", "y ~ 1 + (1 | s) + (1 | d) + (1 | dept)"),
  list("insteval_service", "InstEval", "y ~ 1 + service + (1 | s) + (1 | d) + (1 | dept)"),
  list("insteval_dept_service", "InstEval", "y ~ service + (1 | s) + (1 | d) + (1 | dept:service)"),
  list("classroom_intercept", "score_parentedu_byclass", "score ~ edu + (1 | classroom)"),
  list("classroom_slope", "score_parentedu_byclass", "score ~ edu + (edu | classroom)"),
  list("sleepstudy_weights", "sleepstudy", "Reaction ~ Days + (Days | Subject)", weights = sleep_w,
       weights_rule = "1 + (i %% 3) / 2 for row i counted from 1"),
  list("sleepstudy_offset", "sleepstudy", "Reaction ~ Days + offset(5 * Days) + (1 | Subject)",
       offset = 5 * sleepstudy$Days, offset_rule = "5 * Days, written in the formula"))

evaluate <- function(parsed, theta) {
  devfun <- do.call(mkLmerDevfun, c(parsed, list(control = ctrl)))
  value <- devfun(theta)
  m <- mkMerMod(environment(devfun), list(par = theta, fval = value, conv = 0L),
                parsed$reTrms, fr = parsed$fr)
  list(model = m, criterion = value)
}

# bobyqa compares criterion values only, so it stops where they cease to differ: about 1e-7
# from the minimiser in theta. Newton steps on lme4's deviance function, with derivatives by
# central differences of fourth order, come closer. Diagonal entries at their bound stay at
# an exact zero and the steps are taken in the others.
refine <- function(parsed, theta, diagonal) {
  f <- do.call(mkLmerDevfun, c(parsed, list(control = ctrl)))
  theta[diagonal & theta < 1e-4] <- 0
  free <- which(!(diagonal & theta == 0))
  if (!length(free)) return(theta)
  h <- 2e-3
  unit <- function(i) replace(numeric(length(theta)), i, h)
  slope <- function(x) vapply(free, function(i) {
    e <- unit(i)
    (8 * (f(x + e) - f(x - e)) - (f(x + 2 * e) - f(x - 2 * e))) / (12 * h)
  }, 0)
  curvature <- matrix(vapply(free, function(i) {
    (slope(theta + unit(i)) - slope(theta - unit(i))) / (2 * h)
  }, numeric(length(free))), length(free))
  curvature <- (curvature + t(curvature)) / 2
  start <- theta
  for (step in 1:4) theta[free] <- theta[free] - solve(curvature, slope(theta))
  stopifnot(all(eigen(curvature, only.values = TRUE)$values > 0),
            max(abs(theta - start)) < 1e-5)
  theta
}

reference <- function(name, set, text, ml = FALSE, reml = TRUE, weights = NULL,
                      weights_rule = NULL, offset = NULL, offset_rule = NULL, seed = 1L) {
  data <- sets[[set]]
  data$.w <- if (is.null(weights)) 1 else weights
  large <- set == "InstEval"
  form <- as.formula(text)
  parsed <- if (is.null(weights)) lFormula(form, data, REML = reml, control = ctrl)
            else lFormula(form, data, REML = reml, control = ctrl, weights = .w)
  labels <- theta_names(parsed$reTrms)
  diagonal <- is_diagonal(labels)

  # From lme4's own start and from others; the best is kept, the spread recorded.
  set.seed(seed)
  starts <- c(list(ifelse(diagonal, 1, 0)), lapply(seq_len(if (large) 2L else 6L), function(i) {
    ifelse(diagonal, runif(length(diagonal), 0.1, 2), runif(length(diagonal), -0.5, 0.5))
  }))
  fits <- lapply(starts, function(s) {
    if (is.null(weights)) lmer(form, data, REML = reml, control = ctrl, start = s)
    else lmer(form, data, REML = reml, control = ctrl, start = s, weights = .w)
  })
  crit <- vapply(fits, function(f) unname(if (reml) REMLcrit(f) else deviance(f)), 0)
  m <- fits[[which.min(crit)]]
  close <- crit < min(crit) + 1e-7
  th_of <- vapply(fits[close], function(f) getME(f, "theta"), numeric(length(labels)))
  spread <- max(apply(matrix(th_of, ncol = sum(close)), 1L, function(r) diff(range(r))))

  ll <- logLik(m)
  effects <- random_effects(m)
  rows <- seq_len(min(20L, nrow(data)))
  head_of <- function(x) unname(x[rows])
  if (large) {
    write.csv(transform(effects, value = sprintf("%.17g", value), sd = sprintf("%.17g", sd)),
              file.path(tmp, paste0(name, ".csv")), row.names = FALSE)
  }
  optimum <- c(estimates(m, min(crit)), list(
    logLik = one(c(ll)), AIC = one(AIC(m)), BIC = one(BIC(m)), df = one(as.integer(attr(ll, "df"))),
    singular = one(isSingular(m)),
    starts = list(number = one(length(crit)), reached_best = one(sum(close)),
                  theta_spread = one(spread)),
    ranef = if (large) NULL else by_group(effects),
    ranef_file = if (large) one(paste0(name, ".ranef.parquet")),
    rows = rows - 1L, fitted = head_of(fitted(m)), predict = head_of(predict(m)),
    predict_fixed = head_of(predict(m, re.form = NA))))

  best <- unname(getME(m, "theta"))
  e <- evaluate(parsed, refine(parsed, best, diagonal))
  refined <- c(estimates(e$model, e$criterion),
               list(ranef = if (large) NULL else by_group(random_effects(e$model))))
  relative <- function(a, b) max(abs(a / b - 1))
  cat(sprintf("%-26s %-4s criterion %.10f  best from %d of %d starts, theta spread %.0e",
              name, if (reml) "REML" else "ML", min(crit), sum(close), length(crit), spread))
  cat(sprintf("; refined moves theta %.0e, SE(rel) %.0e, criterion %.0e\n",
              max(abs(refined$theta - best)), relative(refined$se, optimum$se),
              refined$criterion[[1L]] - min(crit)))

  set.seed(100L + seed)
  drawn <- round(ifelse(diagonal, runif(length(diagonal), 0.2, 1.8),
                        runif(length(diagonal), -0.6, 0.6)), 3)
  at <- list(optimum = unname(getME(m, "theta")), ones = ifelse(diagonal, 1, 0), random = drawn)
  fixed <- Map(function(label, theta) {
    e <- evaluate(parsed, theta)
    stopifnot(identical(unname(getME(e$model, "theta")), theta))
    c(list(label = one(label)), estimates(e$model, e$criterion),
      list(ranef = by_group(random_effects(e$model), first = if (large) 50 else Inf)))
  }, names(at), at)

  record <- list(
    name = one(name), dataset = one(set), formula = one(text), reml = one(reml),
    contrasts = one("treatment"),
    weights = if (is.null(weights)) NULL else list(rule = one(weights_rule), values = weights),
    offset = if (is.null(offset)) NULL else list(rule = one(offset_rule), values = offset),
    versions = list(R = one(paste(R.version$major, R.version$minor, sep = ".")),
                    lme4 = one(as.character(packageVersion("lme4"))),
                    Matrix = one(as.character(packageVersion("Matrix")))),
    control = list(optimizer = one("bobyqa"), rhoend = one(1e-9), maxfun = one(1e5)),
    nobs = one(nobs(m)), ngroups = lapply(as.list(ngrps(m)), one),
    fixef_names = names(fixef(m)), theta_names = labels,
    optimum = optimum, refined = refined, fixed_theta = unname(fixed))
  writeLines(json(record), file.path(out, paste0(name, ".json")))
}

for (k in seq_along(fit_list)) {
  f <- fit_list[[k]]
  extra <- f[intersect(names(f), c("weights", "weights_rule", "offset", "offset_rule"))]
  call_for <- function(name, reml) {
    do.call(reference, c(list(name, f[[2L]], f[[3L]], reml = reml, seed = k), extra))
  }
  call_for(f[[1L]], TRUE)
  if (isTRUE(f$ml)) call_for(paste0(f[[1L]], "_ml"), FALSE)
}
