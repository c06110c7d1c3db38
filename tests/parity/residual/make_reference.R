# Reference numbers from nlme for the parity tests of residual structures.
#
#   Rscript make_reference.R
#
# Run in this folder: writes reference.json, orthodont.csv and ovary.csv; README.md describes them.
library(nlme)
library(jsonlite)

tight <- lmeControl(opt = "nlminb", maxIter = 500, msMaxIter = 500, msMaxEval = 2000,
                    niterEM = 200, tolerance = 1e-12)
tight_gls <- glsControl(opt = "nlminb", maxIter = 500, msMaxIter = 500, tolerance = 1e-12)

orthodont <- data.frame(distance = Orthodont$distance, age = Orthodont$age,
                        Subject = as.character(Orthodont$Subject),
                        Sex = as.character(Orthodont$Sex))
orthodont$visit <- (orthodont$age - 8) / 2
ovary <- data.frame(Mare = as.character(Ovary$Mare), Time = Ovary$Time,
                    follicles = Ovary$follicles)
ovary$step <- ave(seq_len(nrow(ovary)), ovary$Mare, FUN = seq_along)
ovary$s <- sin(2 * pi * ovary$Time)
ovary$c <- cos(2 * pi * ovary$Time)
# the same with every fifth row taken out, so that steps have gaps
gaps <- ovary[seq_len(nrow(ovary)) %% 5 != 2, ]
weighted <- orthodont
weighted$w <- rep(c(1, 2, 0.5, 4), length.out = nrow(weighted))
weighted$v <- 1 / weighted$w
write.csv(orthodont, "orthodont.csv", row.names = FALSE)
write.csv(ovary[c("Mare", "step", "follicles", "s", "c")], "ovary.csv", row.names = FALSE)

levels_of_sex <- c("Female", "Male")
orthodont$Sex <- factor(orthodont$Sex, levels_of_sex)
weighted$Sex <- factor(weighted$Sex, levels_of_sex)
orthodont <- orthodont[order(orthodont$Sex == "Male"), ] # varIdent's first level is Female
weighted <- weighted[order(weighted$Sex == "Male"), ]

describe <- function(fit, reml) {
  structure <- fit$modelStruct
  out <- list(reml = reml, loglik = as.numeric(logLik(fit)), aic = AIC(fit),
              npar = attr(logLik(fit), "df"), sigma = fit$sigma)
  if (inherits(fit, "lme")) {
    out$beta <- as.list(fixef(fit))
    out$se <- as.list(sqrt(diag(fit$varFix)))
    D <- as.matrix(getVarCov(fit))
    out$sd <- as.list(sqrt(diag(D)))
    if (nrow(D) > 1) out$corr <- cov2cor(D)[1, 2]
    b <- ranef(fit)
    out$blups <- as.list(setNames(b[[1]], rownames(b)))
  } else {
    out$beta <- as.list(coef(fit))
    out$se <- as.list(sqrt(diag(fit$varBeta)))
  }
  if (!is.null(structure$corStruct))
    out$residual <- as.numeric(coef(structure$corStruct, unconstrained = FALSE))
  if (!is.null(structure$varStruct)) {
    v <- structure$varStruct
    ratio <- coef(v, unconstrained = FALSE)
    if (inherits(v, "varComb")) ratio <- coef(v$B, unconstrained = FALSE)
    if (length(ratio)) out$residual <- as.numeric(ratio)
  }
  out
}

cases <- list()
both <- function(name, data, formula, random, structure, weights, fit) {
  for (method in c("REML", "ML")) {
    m <- fit(method)
    key <- paste0(name, if (method == "ML") "_ml" else "")
    cases[[key]] <<- c(list(data = data, formula = formula, structure = structure,
                            weights = weights), describe(m, method == "REML"))
  }
}
both("lme_ar1_orthodont", "orthodont", "distance ~ age + Sex + (1 | Subject)", NULL,
     list(kind = "AR1", by = "Subject", time = "visit"), NULL, function(m)
  lme(distance ~ age + Sex, data = orthodont, random = ~ 1 | Subject, method = m,
      correlation = corAR1(form = ~ visit | Subject), control = tight))
both("lme_ar1_ovary", "ovary", "follicles ~ s + c + (1 | Mare)", NULL,
     list(kind = "AR1", by = "Mare", time = "step"), NULL, function(m)
  lme(follicles ~ s + c, data = ovary, random = ~ 1 | Mare, method = m,
      correlation = corAR1(form = ~ step | Mare), control = tight))
both("lme_ar1_ovary_slope", "ovary", "follicles ~ s + c + (1 + s || Mare)", NULL,
     list(kind = "AR1", by = "Mare", time = "step"), NULL, function(m)
  lme(follicles ~ s + c, data = ovary, random = list(Mare = pdDiag(~ s)), method = m,
      correlation = corAR1(form = ~ step | Mare), control = tight))
both("lme_ar1_gaps", "gaps", "follicles ~ s + c + (1 | Mare)", NULL,
     list(kind = "AR1", by = "Mare", time = "step"), NULL, function(m)
  lme(follicles ~ s + c, data = gaps, random = ~ 1 | Mare, method = m,
      correlation = corAR1(form = ~ step | Mare), control = tight))
both("gls_ar1_gaps", "gaps", "follicles ~ s + c", NULL,
     list(kind = "AR1", by = "Mare", time = "step"), NULL, function(m)
  gls(follicles ~ s + c, data = gaps, method = m,
      correlation = corAR1(form = ~ step | Mare), control = tight_gls))
both("gls_ar1_orthodont", "orthodont", "distance ~ age * Sex", NULL,
     list(kind = "AR1", by = "Subject", time = "visit"), NULL, function(m)
  gls(distance ~ age * Sex, data = orthodont, method = m,
      correlation = corAR1(form = ~ visit | Subject), control = tight_gls))
both("gls_cs_orthodont", "orthodont", "distance ~ age + Sex", NULL,
     list(kind = "CompoundSymmetry", by = "Subject"), NULL, function(m)
  gls(distance ~ age + Sex, data = orthodont, method = m,
      correlation = corCompSymm(form = ~ 1 | Subject), control = tight_gls))
both("lme_cs_orthodont", "orthodont", "distance ~ age + Sex + (0 + age | Subject)", NULL,
     list(kind = "CompoundSymmetry", by = "Subject"), NULL, function(m)
  lme(distance ~ age + Sex, data = orthodont, random = ~ 0 + age | Subject, method = m,
      correlation = corCompSymm(form = ~ 1 | Subject), control = tight))
both("lme_var_orthodont", "orthodont", "distance ~ age * Sex + (1 | Subject)", NULL,
     list(kind = "VarianceBy", by = "Sex"), NULL, function(m)
  lme(distance ~ age * Sex, data = orthodont, random = ~ 1 | Subject, method = m,
      weights = varIdent(form = ~ 1 | Sex), control = tight))
both("lme_var_slope_orthodont", "orthodont", "distance ~ age * Sex + (1 + age | Subject)", NULL,
     list(kind = "VarianceBy", by = "Sex"), NULL, function(m)
  lme(distance ~ age * Sex, data = orthodont, random = ~ 1 + age | Subject, method = m,
      weights = varIdent(form = ~ 1 | Sex), control = tight))
both("gls_var_orthodont", "orthodont", "distance ~ age * Sex", NULL,
     list(kind = "VarianceBy", by = "Sex"), NULL, function(m)
  gls(distance ~ age * Sex, data = orthodont, method = m,
      weights = varIdent(form = ~ 1 | Sex), control = tight_gls))
both("lme_ar1_weights", "weighted", "distance ~ age + Sex + (1 | Subject)", NULL,
     list(kind = "AR1", by = "Subject", time = "visit"), "w", function(m)
  lme(distance ~ age + Sex, data = weighted, random = ~ 1 | Subject, method = m,
      correlation = corAR1(form = ~ visit | Subject),
      weights = varFixed(~ v), control = tight))
both("lme_var_weights", "weighted", "distance ~ age * Sex + (1 | Subject)", NULL,
     list(kind = "VarianceBy", by = "Sex"), "w", function(m)
  lme(distance ~ age * Sex, data = weighted, random = ~ 1 | Subject, method = m,
      weights = varComb(varFixed(~ v), varIdent(form = ~ 1 | Sex)), control = tight))

versions <- list(R = R.version.string, nlme = as.character(packageVersion("nlme")))
write_json(list(versions = versions, cases = cases), "reference.json",
           auto_unbox = TRUE, digits = NA, pretty = TRUE)
