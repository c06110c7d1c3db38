# Export the data sets that bayeslmm bundles from the R package lme4.
#
#   Rscript make_datasets.R OUT_DIR
#
# For every data set two files are written to OUT_DIR:
#   <name>.csv   the rows; factors as labels, numbers with 17 significant digits
#   <name>.json  its columns in order, with the kind of each ("factor",
#                "integer" or "double") and, for a factor, the levels in R's
#                order and whether the factor is ordered
# make_datasets.py turns these into Parquet.

suppressPackageStartupMessages(library(lme4))

args <- commandArgs(trailingOnly = TRUE)
if (length(args) != 1L) stop("usage: Rscript make_datasets.R OUT_DIR")
out <- args[[1L]]
dir.create(out, showWarnings = FALSE, recursive = TRUE)

names_of_sets <- c("sleepstudy", "Dyestuff", "Dyestuff2", "Penicillin", "Pastes",
                   "cake", "InstEval", "VerbAgg", "cbpp")

# Counts that lme4 stores as doubles although each value is a whole number.
whole <- list(sleepstudy = "Days", cbpp = c("incidence", "size"))

text_of <- function(x) {
  if (is.factor(x)) as.character(x)
  else if (is.integer(x)) sprintf("%d", x)
  else sprintf("%.17g", x)
}

column_of <- function(name, x) {
  if (is.factor(x)) {
    list(name = name, kind = "factor", ordered = is.ordered(x), levels = I(levels(x)))
  } else {
    list(name = name, kind = if (is.integer(x)) "integer" else "double")
  }
}

for (set in names_of_sets) {
  d <- get(set, envir = asNamespace("lme4"), inherits = TRUE)
  for (v in whole[[set]]) {
    stopifnot(all(d[[v]] == round(d[[v]])))
    d[[v]] <- as.integer(d[[v]])
  }
  stopifnot(!anyNA(d), all(vapply(d, function(x) is.factor(x) || is.numeric(x), NA)))
  write.csv(as.data.frame(lapply(d, text_of), check.names = FALSE),
            file.path(out, paste0(set, ".csv")), row.names = FALSE, fileEncoding = "UTF-8")
  meta <- list(name = set, rows = nrow(d), source = "lme4",
               source_version = as.character(packageVersion("lme4")),
               columns = unname(Map(column_of, names(d), d)))
  jsonlite::write_json(meta, file.path(out, paste0(set, ".json")),
                       auto_unbox = TRUE, pretty = TRUE)
}
