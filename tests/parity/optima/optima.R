# The lowest REML criterion that lme4 finds for each model of the study of optima.
#
#   python -m tests.parity.optima.generate FOLDER      (from the top of the repository)
#   Rscript optima.R FOLDER [OUT.json]
#
# FOLDER holds the simulated designs; the natural models are in natural.csv. Three optimisers
# and up to eight starts are tried, the best point is restarted, and entries next to zero are
# set to zero where that is no worse. README.md says what the fields mean.

suppressPackageStartupMessages(library(lme4))
options(contrasts = c("contr.treatment", "contr.treatment"), warn = 1)

args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
folder <- args[[1L]]
out <- if (length(args) >= 2L) args[[2L]] else file.path(here, "optima.json")

ctrl <- lmerControl(
  calc.derivs = FALSE, check.nobs.vs.rankZ = "ignore", check.nobs.vs.nlev = "ignore",
  check.nlev.gtr.1 = "ignore", check.nobs.vs.nRE = "ignore", check.conv.singular = "ignore",
  check.scaleX = "ignore", check.rankX = "stop.deficient")
tight <- list(
  bobyqa = list(rhoend = 1e-9, maxfun = 1e5),
  nlminbwrap = list(eval.max = 5000, iter.max = 3000, rel.tol = 1e-14, x.tol = 1e-12),
  Nelder_Mead = list(maxfun = 20000, FtolAbs = 1e-12, FtolRel = 1e-15, XtolRel = 1e-10))

lowest <- function(formula, data) {
  made <- if ("w" %in% names(data)) lFormula(formula, data, weights = w, control = ctrl)
          else lFormula(formula, data, control = ctrl)
  # a copy: the deviance function writes into the vector it was given
  first <- made$reTrms$theta + 0
  f <- do.call(mkLmerDevfun, c(made, list(control = ctrl)))
  lower <- made$reTrms$lower
  # what lmer() itself returns, before anything has moved the starting values
  plain <- tryCatch({
    opt <- suppressWarnings(optimizeLmer(f, optimizer = "nloptwrap", restart_edge = TRUE,
                                         boundary.tol = 1e-5, calc.derivs = FALSE))
    list(theta = opt$par + 0, value = f(opt$par))
  }, error = function(e) list(theta = NULL, value = NA_real_))

  best <- list(value = Inf, theta = first, by = "none")
  keep <- function(theta, by) {
    value <- tryCatch(f(theta), error = function(e) NA_real_)
    if (is.finite(value) && value < best$value) best <<- list(value = value, theta = theta + 0, by = by)
  }
  run <- function(optimizer, start, by) {
    opt <- tryCatch(suppressWarnings(optimizeLmer(
      f, optimizer = optimizer, control = tight[[optimizer]], start = list(theta = start + 0),
      restart_edge = FALSE, boundary.tol = 0, calc.derivs = FALSE)), error = function(e) NULL)
    if (!is.null(opt)) keep(pmax(opt$par, lower), by)
  }
  if (!is.null(plain$theta)) keep(plain$theta, "default")
  large <- nrow(data) > 20000
  for (ratio in if (large) 1 else c(1, 0.1, 5)) run("bobyqa", ratio * first, "bobyqa")
  run("nlminbwrap", first, "nlminb")
  if (!large) {
    run("Nelder_Mead", first, "Nelder_Mead")
    set.seed(1)
    for (i in 1:5) {
      start <- ifelse(lower == 0, exp(rnorm(length(first), -0.5, 1.2)), rnorm(length(first)))
      run("bobyqa", start, "bobyqa")
    }
  }
  for (round in 1:4) {
    before <- best$value
    run("bobyqa", best$theta, "bobyqa")
    run("nlminbwrap", best$theta, "nlminb")
    if (!large) run("Nelder_Mead", best$theta, "Nelder_Mead")
    for (i in which(lower == 0 & best$theta > 0 & best$theta < 0.05)) {
      keep(replace(best$theta, i, 0), "zero")
    }
    if (before - best$value < 1e-9) break
  }
  list(criterion = best$value, default = plain$value, theta = best$theta, by = best$by,
       singular = any(best$theta[lower == 0] < 1e-4))
}

number <- function(x) ifelse(is.finite(x), sprintf("%.17g", x), "null")
line <- function(id, family, seed, data, formula, n, checksum, fit) {
  text <- function(x) paste0("\"", x, "\"")
  bare <- c(
    id = text(id), family = text(family), seed = seed, data = if (!is.na(data)) text(data),
    formula = text(formula), n = n, checksum = checksum, criterion = number(fit$criterion),
    default = number(fit$default), singular = tolower(fit$singular), optimizer = text(fit$by),
    theta = paste0("[", paste(sprintf("%.9g", fit$theta), collapse = ", "), "]"))
  paste0("    {", paste0("\"", names(bare), "\": ", bare, collapse = ", "), "}")
}

lines <- character()
natural <- read.csv(file.path(here, "natural.csv"))
natural$number <- ave(seq_along(natural$data), natural$data, FUN = seq_along) - 1L
for (i in seq_len(nrow(natural))) {
  m <- natural[i, ]
  file <- file.path(here, "natural", paste0(m$data, ".csv"))
  d <- if (file.exists(file)) read.csv(file, stringsAsFactors = TRUE) else get(m$data)
  fit <- lowest(as.formula(m$formula), d)
  lines <- c(lines, line(sprintf("%s-%d", m$data, m$number), m$package, NULL, m$data, m$formula,
                         nrow(d), NULL, fit))
  cat(sprintf("%s %.6f\n", m$data, fit$criterion))
}
manifest <- read.csv(file.path(folder, "manifest.csv"), colClasses = "character")
for (i in seq_len(nrow(manifest))) {
  m <- manifest[i, ]
  d <- read.csv(file.path(folder, paste0(m$id, ".csv")), stringsAsFactors = TRUE)
  fit <- lowest(as.formula(m$formula), d)
  lines <- c(lines, line(m$id, m$family, m$seed, NA, m$formula, m$n, m$checksum, fit))
  cat(sprintf("%s %.6f\n", m$id, fit$criterion))
}
version <- function(p) sprintf("\"%s\": \"%s\"", p, packageDescription(p)$Version)
head <- sprintf("  \"versions\": {\"R\": \"%s.%s\", %s}", R.version$major, R.version$minor,
                paste(vapply(c("lme4", "Matrix", "minqa", "nloptr", "MASS"), version, ""),
                      collapse = ", "))
writeLines(c("{", paste0(head, ","), "  \"fits\": [", paste(lines, collapse = ",\n"), "  ]", "}"),
           out)
