# Data sets of MASS, and lme4's Arabidopsis, as CSV files for the study of REML optima.
#
#   Rscript export_data.R
#
# Values and row order are the packages'. Four are brought to long form, one row a measurement.

suppressPackageStartupMessages({
  library(MASS)
  library(lme4)
})
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))

save_csv <- function(d, name) {
  write.csv(d, file.path(here, "natural", paste0(name, ".csv")), row.names = FALSE, quote = FALSE)
}

for (name in c("cabbages", "coop", "genotype", "michelson", "muscle", "nlschools", "npk", "oats",
               "painters", "petrol", "Rabbit", "Sitka", "Sitka89", "Arabidopsis")) {
  save_csv(get(name), name)
}
save_csv(UScereal[c("mfr", "calories", "protein", "fat", "sodium", "fibre", "carbo", "sugars")],
         "UScereal")
save_csv(Cars93[c("Manufacturer", "Type", "Price", "MPG.city", "Horsepower", "Weight", "Origin")] |>
           transform(MPG = MPG.city, MPG.city = NULL), "Cars93")
save_csv(with(anorexia, data.frame(
  patient = rep(sprintf("p%02d", seq_along(Prewt)), 2), Treat = rep(Treat, 2),
  time = rep(c("before", "after"), each = length(Prewt)), weight = c(Prewt, Postwt))), "anorexia")
save_csv(with(immer, data.frame(
  Loc = rep(Loc, 2), Var = rep(Var, 2), year = rep(c("y1931", "y1932"), each = length(Y1)),
  Y = c(Y1, Y2))), "immer")
save_csv(with(shoes, data.frame(
  boy = rep(sprintf("b%02d", seq_along(A)), 2), material = rep(c("A", "B"), each = length(A)),
  wear = c(A, B))), "shoes")
# beav1 and beav2 are one series each of two animals.
save_csv(rbind(data.frame(beaver = "b1", beav1[c("temp", "activ")]),
               data.frame(beaver = "b2", beav2[c("temp", "activ")])), "beavers")
