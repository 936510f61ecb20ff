# make demo | test | lab | dashboard | figures
#   PYTHON=python3.12   another Python, 3.11 or newer
#   TORCH=system        use the PyTorch that this Python already has (a GPU machine's) instead of the locked CPU one
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOCK := $(VENV)/requirements.lock

.PHONY: demo test lab dashboard figures clean
demo: $(VENV)/notebooks
	$(RUN) -m helo demo

test: $(VENV)/test
	$(RUN) -m ruff format --check helo tests benchmarks
	$(RUN) -m ruff check helo tests benchmarks
	$(RUN) -m mypy helo
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile

lab: $(VENV)/notebooks
	$(RUN) -m jupyterlab --ServerApp.root_dir=. notebooks/00_index.ipynb

dashboard: $(VENV)/notebooks
	$(RUN) -m voila notebooks/dashboard.ipynb --Voila.ip=127.0.0.1 --Voila.auto_token=True

figures: $(VENV)/test
	$(RUN) -m helo demo --figures figures
	HELO_SCREENSHOTS=figures $(RUN) -m pytest -q tests/browser

$(VENV)/notebooks: EXTRAS := notebooks,sweeps
$(VENV)/test: EXTRAS := notebooks,sweeps,test
$(VENV)/notebooks $(VENV)/test: pyproject.toml requirements.lock
	test -x $(RUN) || $(PYTHON) -m venv $(if $(filter system,$(TORCH)),--system-site-packages) $(VENV)
	grep -v '$(if $(filter system,$(TORCH)),^torch==,^$$)' requirements.lock > $(LOCK)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) runs
