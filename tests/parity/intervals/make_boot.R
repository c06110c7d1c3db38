# Bootstrap intervals by R's boot for replicates that are written down, for the parity tests.
#
#   Rscript make_boot.R [OUT_DIR]

suppressPackageStartupMessages(library(boot))
args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "",
                                  grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args) >= 1L) args[[1L]] else here
set.seed(1)
x <- round(rexp(25, 0.2), 6)
b <- boot(x, function(d, i) log(mean(d[i])), R = 299)
rows <- sapply(c(0.8, 0.9, 0.95, 0.99), function(level) {
  ci <- boot.ci(b, conf = level, type = c("norm", "basic", "perc"))
  c(level, ci$normal[2:3], ci$basic[4:5], ci$percent[4:5])
})
number <- function(v) paste(sprintf("%.17g", v), collapse = ", ")
writeLines(paste0(
  "{\n  \"estimate\": ", number(b$t0), ",\n  \"replicates\": [", number(b$t[, 1]), "],\n",
  "  \"columns\": [\"level\", \"normal\", \"normal\", \"basic\", \"basic\", \"percentile\", ",
  "\"percentile\"],\n  \"limits\": [",
  paste(apply(rows, 2, function(r) paste0("[", number(r), "]")), collapse = ",\n    "), "],\n",
  "  \"versions\": {\"R\": \"", getRversion(), "\", \"boot\": \"", packageVersion("boot"), "\"}\n}"
), file.path(out, "boot_ci.json"))
