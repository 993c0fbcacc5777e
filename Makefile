# For people; CMake does the work. `make help` lists the targets.
BUILD  ?= build/release
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
GENERATOR := $(if $(shell command -v ninja 2>/dev/null),-G Ninja,)
export CTEST_OUTPUT_ON_FAILURE ?= 1

all: build ## build hone into build/release

help: ## this list
	@sed -n 's/^\([a-z -]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

$(BUILD)/CMakeCache.txt:
	@cmake -S . -B $(BUILD) $(GENERATOR) -DCMAKE_BUILD_TYPE=Release >$(BUILD).log 2>&1 || { cat $(BUILD).log; exit 1; }

build: | prepare $(BUILD)/CMakeCache.txt
	@cmake --build $(BUILD) -j $(JOBS)

prepare:
	@mkdir -p $(dir $(BUILD))

test: build ## build, then every test: unit, golden, property, short fuzz, layers, end to end
	@ctest --test-dir $(BUILD) -j $(JOBS) --no-tests=error; s=$$?; \
	    sed -n 's/^models| //p' $(BUILD)/Testing/Temporary/LastTest.log; exit $$s

demo: build ## hone optimize on a small model, to the end
	@tools/demo.sh $(BUILD)/hone

bench: build ## speed against the machine's limits; PEER=<llama.cpp build> PEER_AVX2=<its AVX2 build> for both sides
	@PEER="$(PEER)" PEER_AVX2="$(PEER_AVX2)" PEER_SOURCE="$(PEER_SOURCE)" OPENVINO="$(OPENVINO)" VLLM="$(VLLM)" bench/peers $(BUILD)/hone

bench-formats: build ## size, speed and KL divergence of every type that hone writes (JSON=1: as JSON)
	@D="$${HONE_SHARED:-../shared}/data/stories3m"; if [ -d "$$D" ]; then $(BUILD)/hone compare "$$D" --formats all \
	  --data "$$D/held_out.txt" --ctx 128 --max-tokens 4000 --prefill 128 $(if $(JSON),--json); \
	  else echo "SKIP bench-formats: needs $$D"; fi

bench-text: build ## tokenizers' speed; PEER_PYTHON=<a python with the tokenizers package> for both sides
	@cmake --build $(BUILD) --target bench_text >/dev/null
	@bench/text $(BUILD)/tests/bench_text $(PEER_PYTHON)

bench-tokenizer-train: build ## training a tokenizer on 50 MB of TEXT=FILE.jsonl; PEER_PYTHON=<a python with the tokenizers package> for both sides
	@TEXT="$(TEXT)" bench/tokenizer-train $(BUILD)/hone $(PEER_PYTHON)

bench-finetune: build ## training time against memory against quality: all weights, LoRA, QLoRA, DoRA
	@D="$${HONE_SHARED:-../shared}/data"; if [ -d "$$D/stories3m" ] && [ -d "$$D/tinyshakespeare" ]; then \
	  bench/finetune $(BUILD)/hone "$$D/stories3m" "$$D/tinyshakespeare/"*.txt; \
	  else echo "SKIP bench-finetune: needs $$D/stories3m and tinyshakespeare"; fi

bench-train: build ## speed of training steps; PEER_PYTHON=<a python with torch, transformers, peft> LLMC=<llm.c built>, QUICK=1 or ROUNDS=
	@PEER_PYTHON="$(PEER_PYTHON)" LLMC="$(LLMC)" CASES="$(CASES)" bench/train $(BUILD)/hone $(if $(QUICK),--quick)

fuzz: ## libFuzzer with sanitizers (clang); SECONDS_EACH=60
	@tools/fuzz.sh $(or $(SECONDS_EACH),60)

lint: build ## clang-format, clang-tidy, cppcheck, sizes
	@tools/lint.sh $(BUILD)

asan tsan: | prepare ## the tests under the address and undefined-behaviour (asan) or thread (tsan) sanitizer
	@cmake --preset $@ >/dev/null && cmake --build --preset $@ -j $(JOBS) && ctest --preset $@ -j $(JOBS)

man: build ## manual pages into build/man
	@tools/man.sh $(BUILD)/hone build/man

install: build ## into PREFIX (/usr/local): program, library with headers, manual pages, completion, docs
	@cmake --install $(BUILD) --prefix $(PREFIX)

clean: ## remove what was built
	@rm -rf build

.PHONY: all help build prepare test demo bench bench-formats bench-text bench-tokenizer-train bench-finetune bench-train fuzz lint asan tsan man install clean
