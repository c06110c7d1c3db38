# rstanarm and brms: stan_lmer() with the models compiled in the package; brm() with rstan,
# where the model is first translated and compiled (chains = 0), then sampled.
# Arguments: name=value, as the Python runners take them, and factors=a,b,c.
args <- commandArgs(trailingOnly = TRUE)
option <- function(name) {
  line <- args[startsWith(args, paste0(name, "="))]
  substring(line, nchar(name) + 2)
}
package <- option("package")
suppressPackageStartupMessages(library(package, character.only = TRUE))
options(warn = -1)

number <- function(x) if (is.finite(x)) format(x, digits = 15) else "null"
quoted <- function(x) paste0('"', gsub('"', "'", x, fixed = TRUE), '"', collapse = ", ")
emit <- function(...) {
  cat("{", paste(c(...), collapse = ", "), "}\n", sep = "")
  flush(stdout())
}
clock <- function() as.numeric(Sys.time())

data <- read.csv(option("data"), stringsAsFactors = FALSE)
for (f in strsplit(option("factors"), ",")[[1]]) data[[f]] <- factor(data[[f]])
formula <- as.formula(option("formula"))
chains <- as.integer(option("chains"))
kept <- as.integer(option("draws"))
tune <- option("tune")
tune <- if (tune == "default") 1000L else as.integer(tune)  # the default of both
shared <- list(
  chains = chains, cores = as.integer(option("cores")), iter = tune + kept, warmup = tune,
  seed = as.integer(option("seed")), refresh = 0
)
emit('"event": "ready"', sprintf('"at": %s', number(clock())))

begin <- clock()
compiled <- 0
if (package == "brms") {
  model <- suppressMessages(brm(formula, data, chains = 0, silent = 2, refresh = 0))
  compiled <- clock() - begin
  fit <- suppressMessages(
    do.call(update, c(list(model, recompile = FALSE, silent = 2), shared))
  )
  stan <- fit$fit
} else {
  fit <- suppressMessages(do.call(stan_lmer, c(list(formula, data), shared)))
  stan <- fit$stanfit
}
draws <- as.array(stan)  # draws x chains x parameters
emit(
  '"event": "fit"',
  sprintf('"seconds": %s', number(clock() - begin)),
  sprintf('"compile_seconds": %s', number(compiled))
)
invisible(capture.output(print(summary(fit))))
emit('"event": "summary"', sprintf('"at": %s', number(clock())))

intercept <- function(x) sub("^\\(Intercept\\)$", "Intercept", x)
columns <- dimnames(draws)[[3]]
main <- list()
if (package == "brms") {
  for (column in grep("^b_", columns, value = TRUE)) {
    main[[sub("^b_", "", column)]] <- draws[, , column]
  }
  for (column in grep("^sd_", columns, value = TRUE)) {
    main[[sub("^(sd_.+?)__(.+)$", "\\1[\\2]", column, perl = TRUE)]] <- draws[, , column]
  }
  for (column in grep("^cor_", columns, value = TRUE)) {
    name <- sub("^cor_(.+?)__(.+?)__(.+)$", "corr_\\1[\\2, \\3]", column, perl = TRUE)
    main[[name]] <- draws[, , column]
  }
  at <- grep("^r_", columns, value = TRUE)
  names(at) <- sub("^r_(.+)\\[(.+),(.+)\\]$", "b_\\1[\\2, \\3]", at)
} else {
  for (column in names(fixef(fit))) main[[intercept(column)]] <- draws[, , column]
  for (factor in names(VarCorr(fit))) {
    terms <- rownames(VarCorr(fit)[[factor]])
    entry <- function(j, k) draws[, , sprintf("Sigma[%s:%s,%s]", factor, terms[j], terms[k])]
    for (k in seq_along(terms)) {
      main[[sprintf("sd_%s[%s]", factor, intercept(terms[k]))]] <- sqrt(entry(k, k))
      for (j in seq_len(k - 1)) {
        name <- sprintf("corr_%s[%s, %s]", factor, intercept(terms[j]), intercept(terms[k]))
        main[[name]] <- entry(k, j) / sqrt(entry(j, j) * entry(k, k))
      }
    }
  }
  at <- grep("^b\\[", columns, value = TRUE)
  at <- at[!grepl(":_NEW_", at, fixed = TRUE)]
  names(at) <- sub("^b\\[(.+) (.+):(.+)\\]$", "b_\\2[\\3, \\1]", at)
}
main[["sigma"]] <- draws[, , "sigma"]

# a column of draws and chains after the other: parameters x chains x draws to NumPy
file <- file(option("out"), "wb")
for (values in main) writeBin(as.double(values), file)
for (column in at) writeBin(as.double(draws[, , column]), file)
close(file)
versions <- sapply(c(package, "rstan", "StanHeaders"), function(p) as.character(packageVersion(p)))
emit(
  '"event": "draws"',
  sprintf('"shape": [%d, %d, %d]', length(main) + length(at), dim(draws)[2], dim(draws)[1]),
  sprintf('"names": [%s]', quoted(c(names(main), names(at)))),
  sprintf('"main": %d', length(main)),
  sprintf('"divergences": %d', as.integer(rstan::get_num_divergent(stan))),
  '"remark": ""',
  sprintf(
    '"versions": {"R": "%s", %s}', getRversion(),
    paste(sprintf('"%s": "%s"', names(versions), versions), collapse = ", ")
  ),
  '"blas": []'
)
