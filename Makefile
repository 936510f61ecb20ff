# make demo | test | lab     (python3 is 3.11 or newer; PYTHON=... chooses another)
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test lab clean
demo: $(VENV)/notebooks
	$(RUN) -m helo demo

test: $(VENV)/test
	$(RUN) -m ruff check helo tests
	$(RUN) -m pytest

lab: $(VENV)/notebooks
	$(RUN) -m jupyterlab notebooks

$(VENV)/%: pyproject.toml requirements.lock
	@test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c requirements.lock -e ".[notebooks$(if $(filter test,$*),$(comma)test)]"
	@touch $@

comma := ,

clean:
	rm -rf $(VENV) runs
