# Posterior reference numbers from brms (Stan) for the parity tests.
#
#   Rscript make_reference.R [OUT_DIR]
#
# Every prior is written out, none is left to brms's defaults. README.md describes the fields.

suppressPackageStartupMessages(library(brms))

args <- commandArgs(trailingOnly = TRUE)
here <- dirname(normalizePath(sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE)[1L])))
out <- if (length(args)) args[[1L]] else here

data(sleepstudy, Penicillin, package = "lme4")
chains <- 4L; iter <- 5000L; warmup <- 1000L; adapt_delta <- 0.99

cases <- list(
  sleepstudy = list(
    data = sleepstudy, formula = "Reaction ~ Days + (Days | Subject)", seed = 20231L,
    prior = c(prior(normal(300, 200), class = Intercept),
              prior(normal(0, 50), class = b),
              prior(student_t(3, 0, 60), class = sd),
              prior(student_t(3, 0, 60), class = sigma),
              prior(lkj(1), class = cor))),
  penicillin = list(
    data = Penicillin, formula = "diameter ~ 1 + (1 | plate) + (1 | sample)", seed = 20232L,
    prior = c(prior(normal(23, 10), class = Intercept),
              prior(student_t(3, 0, 2.5), class = sd),
              prior(student_t(3, 0, 2.5), class = sigma))))

# JSON with 17 significant digits; named lists are objects, lists arrays.
quoted <- function(x) paste0("\"", gsub("\"", "\\\"", gsub("\\", "\\\\", x, fixed = TRUE), fixed = TRUE), "\"")
atom <- function(x) {
  if (is.null(x) || is.na(x)) "null"
  else if (is.character(x)) quoted(x)
  else if (is.integer(x)) sprintf("%d", x)
  else sprintf("%.17g", x)
}
json <- function(x, pad = "") {
  if (!is.list(x)) return(if (length(x) == 1L) atom(x) else paste0("[", paste(vapply(x, atom, ""), collapse = ", "), "]"))
  flat <- !any(vapply(x, is.list, NA))
  deeper <- paste0(pad, "  ")
  body <- vapply(x, json, "", pad = deeper)
  if (!is.null(names(x))) body <- paste0(quoted(names(x)), ": ", body)
  ends <- if (is.null(names(x))) c("[", "]") else c("{", "}")
  if (flat) paste0(ends[1L], paste(body, collapse = ", "), ends[2L])
  else paste0(ends[1L], "\n", deeper, paste(body, collapse = paste0(",\n", deeper)), "\n", pad, ends[2L])
}

probs <- c(0.05, 0.25, 0.50, 0.75, 0.95)
summary_of <- function(x) {  # x: iterations by chains
  q <- unname(quantile(x, probs))
  e <- unname(posterior::mcse_quantile(x, probs))
  list(mean = mean(x), sd = sd(c(x)), q5 = q[1L], q25 = q[2L], q50 = q[3L], q75 = q[4L],
       q95 = q[5L], ess_bulk = posterior::ess_bulk(x), ess_tail = posterior::ess_tail(x),
       rhat = posterior::rhat(x), mcse_mean = posterior::mcse_mean(x),
       mcse_sd = posterior::mcse_sd(x), mcse_q5 = e[1L], mcse_q25 = e[2L], mcse_q50 = e[3L],
       mcse_q75 = e[4L], mcse_q95 = e[5L])
}

for (name in names(cases)) {
  k <- cases[[name]]
  fit <- brm(as.formula(k$formula), data = k$data, family = gaussian(), prior = k$prior,
             chains = chains, iter = iter, warmup = warmup, seed = k$seed, cores = 2L,
             control = list(adapt_delta = adapt_delta), backend = "rstan", refresh = 0)
  draws <- posterior::as_draws_array(fit)
  vars <- grep("^(b_|sd_|cor_|sigma$|r_)", posterior::variables(draws), value = TRUE)
  nuts <- nuts_params(fit)
  used <- as.data.frame(k$prior)
  record <- list(
    name = name, dataset = name, formula = k$formula, family = "gaussian (identity)",
    priors = lapply(seq_len(nrow(used)), function(i) {
      p <- list(class = used$class[i], prior = used$prior[i])
      if (used$class[i] %in% c("sd", "sigma")) p$support <- "positive half"
      if (used$class[i] == "Intercept") p$at <- "mean of the predictors"
      p
    }),
    sampler = list(chains = chains, iter = iter, warmup = warmup, draws = chains * (iter - warmup),
                   seed = k$seed, adapt_delta = adapt_delta),
    divergences = as.integer(sum(nuts$Value[nuts$Parameter == "divergent__"])),
    max_treedepth = as.integer(max(nuts$Value[nuts$Parameter == "treedepth__"])),
    versions = list(R = paste(R.version$major, R.version$minor, sep = "."),
                    brms = as.character(packageVersion("brms")),
                    rstan = as.character(packageVersion("rstan")),
                    stan = rstan::stan_version(),
                    posterior = as.character(packageVersion("posterior")),
                    lme4_data = as.character(packageVersion("lme4"))),
    parameters = setNames(lapply(vars, function(v) {
      summary_of(posterior::extract_variable_matrix(draws, v))
    }), vars))
  if (name == "penicillin") record$dataset <- "Penicillin"
  writeLines(json(record), file.path(out, paste0(name, ".json")))
  cat(name, "divergences", record$divergences, "max R-hat",
      max(vapply(record$parameters, function(p) p$rhat, 0)), "min ESS",
      min(vapply(record$parameters, function(p) min(p$ess_bulk, p$ess_tail), 0)), "\n")
  print(fit)
}
