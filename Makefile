# make demo | test | lab | dashboard | docs | figures | pretrained | benchmarks
#   PARTS="seeds growth"  some of the benchmarks (docs/speed.md); WESAD=FOLDER for the part wesad
#   PYTHON=python3.12   another Python, 3.11 or newer
#   TORCH=system        use the PyTorch that this Python already has (a GPU machine's) instead of the locked CPU one
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
LOCK := $(VENV)/requirements.lock

.PHONY: demo test lab dashboard docs figures pretrained benchmarks clean
demo: $(VENV)/notebooks
	$(RUN) -m helo demo

test: $(VENV)/test
	$(RUN) -m ruff format --check helo tests benchmarks docs/site
	$(RUN) -m ruff check helo tests benchmarks docs/site
	$(RUN) -m mypy helo
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# threads that wait sleep, whatever a notebook imports first (helo/waiting.py)
lab dashboard: export OMP_WAIT_POLICY = PASSIVE
lab: $(VENV)/notebooks
	$(RUN) -m jupyterlab --ServerApp.root_dir=. notebooks/00_index.ipynb

# to this machine only, with a token; no file but the page; at most four visitors' kernels, ended after half an hour idle
DASHBOARD := --Voila.ip=127.0.0.1 --VoilaConfiguration.file_denylist='.*' \
	--VoilaConfiguration.multi_kernel_manager_class=helo.views.visitors.FewKernels --FewKernels.most=4 \
	--MappingKernelManager.cull_idle_timeout=1800 --MappingKernelManager.cull_interval=60 \
	--MappingKernelManager.cull_connected=True
dashboard: $(VENV)/notebooks
	$(RUN) -m voila notebooks/dashboard.ipynb --Voila.auto_token=True $(DASHBOARD)

# build/site/index.html: the pages of docs/, the notebooks with their outputs, the reference; nothing is fetched
docs: $(VENV)/docs
	OMP_NUM_THREADS=1 $(RUN) docs/site/build.py

figures: $(VENV)/test
	$(RUN) -m helo demo --figures figures
	HELO_SCREENSHOTS=figures $(RUN) -m pytest -q tests/browser

# the models that notebooks 03 and 04 open: what these notebooks train to
pretrained: $(VENV)/notebooks
	rm -rf runs/pretrained
	for name in 03_transport 04_correlation; do mkdir -p runs/pretrained/$$name && OMP_NUM_THREADS=1 $(RUN) -m papermill \
	  notebooks/$$name.ipynb runs/pretrained/$$name/$$name.ipynb -k python3 -p train True -p interactive False \
	  -p output runs/pretrained/$$name || exit 1; done
	cp runs/pretrained/03_transport/matching-*.safetensors runs/pretrained/04_correlation/*.safetensors helo/pretrained/

# the rows and the growth picture of docs/speed.md, on a machine that does nothing else
benchmarks: $(VENV)/test
	$(RUN) benchmarks/speed_page.py $(PARTS) $(if $(WESAD),--wesad $(WESAD))

$(VENV)/notebooks: EXTRAS := notebooks,sweeps
$(VENV)/docs: EXTRAS := notebooks,sweeps,docs
$(VENV)/test: EXTRAS := notebooks,sweeps,eeg,docs,test
$(VENV)/notebooks $(VENV)/docs $(VENV)/test: pyproject.toml requirements.lock
	test -x $(RUN) || $(PYTHON) -m venv $(if $(filter system,$(TORCH)),--system-site-packages) $(VENV)
	grep -v '$(if $(filter system,$(TORCH)),^torch==,^$$)' requirements.lock > $(LOCK)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c $(LOCK) -e ".[$(EXTRAS)]"
	touch $@

clean:
	rm -rf $(VENV) runs build
