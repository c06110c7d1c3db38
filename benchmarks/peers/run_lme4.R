# lme4: lmer() on a data frame. Variants: `default` (nloptwrap's BOBYQA, gradient and Hessian
# at the optimum checked) and `noderivs` (control = lmerControl(calc.derivs = FALSE)).
# Arguments: csv, factor columns (comma-separated), formula, variant, budget, most.
suppressPackageStartupMessages(library(lme4))
options(warn = -1)
args <- commandArgs(trailingOnly = TRUE)
factors <- strsplit(args[2], ",")[[1]]
formula <- as.formula(args[3])
budget <- as.numeric(args[5])
most <- as.integer(args[6])
control <- if (args[4] == "noderivs") lmerControl(calc.derivs = FALSE) else lmerControl()

memory_mb <- function(field) {
  status <- tryCatch(readLines("/proc/self/status"), error = function(e) character())
  line <- grep(paste0("^", field, ":"), status, value = TRUE)
  if (length(line)) as.numeric(gsub("[^0-9]", "", line)) / 1e3 else NA
}
number <- function(x) if (is.finite(x)) format(x, digits = 15) else "null"
emit <- function(...) {
  cat("{", paste(c(...), collapse = ", "), "}\n", sep = "")
  flush(stdout())
}

data <- read.csv(args[1], stringsAsFactors = FALSE)
for (f in factors) data[[f]] <- factor(data[[f]])
invisible(gc(full = TRUE))
try(suppressWarnings(cat("5", file = "/proc/self/clear_refs")), silent = TRUE)
blas <- basename(extSoftVersion()[["BLAS"]])
emit(
  '"event": "ready"',
  sprintf(
    '"versions": {"R": "%s", "lme4": "%s", "Matrix": "%s"}',
    getRversion(), packageVersion("lme4"), packageVersion("Matrix")
  ),
  sprintf('"blas": ["%s, %s (%s threads)"]', blas, basename(La_library()),
          Sys.getenv("OPENBLAS_NUM_THREADS", "?")),
  sprintf('"loaded_mb": %s', number(memory_mb("VmRSS")))
)

clock <- function() as.numeric(Sys.time())
begin_all <- clock()
for (k in seq_len(most)) {
  spent <- clock() - begin_all
  if ((k == 2 && spent > 8) || (k > 2 && spent > budget)) break
  invisible(gc())
  begin <- clock()
  fit <- suppressMessages(lmer(formula, data, REML = TRUE, control = control))
  seconds <- clock() - begin
  emit(
    '"event": "fit"',
    sprintf('"seconds": %s', number(seconds)),
    sprintf('"criterion": %s', number(-2 * as.numeric(logLik(fit)))),
    sprintf('"evaluations": %d', as.integer(fit@optinfo$feval)),
    sprintf('"singular": %s', tolower(as.character(isSingular(fit)))),
    sprintf('"peak_mb": %s', number(memory_mb("VmHWM")))
  )
}
begin <- clock()
parsed <- suppressMessages(lFormula(formula, data, control = control))
emit('"event": "stage"', '"name": "lFormula"', sprintf('"seconds": %s', number(clock() - begin)))
