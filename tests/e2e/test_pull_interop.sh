# huggingface_hub finds what hone pulled, and hone what huggingface_hub downloaded. HONE_HF_PYTHON: a
# python with huggingface_hub, for example of a virtual environment.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
trained || skip "needs ../shared/data/stories260k"
: "${HUB_SERVER:?the program tests/support/hub_server_main.c}"
python=${HONE_HF_PYTHON:-python3}
"$python" -c 'import huggingface_hub' 2>/dev/null ||
    skip "needs python3 with huggingface_hub (or HONE_HF_PYTHON)"
unset HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE
export HF_HOME="$WORK/home" HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1

mkdir -p "$WORK/repo/sub folder"
cp "$STORIES"/hf/* "$WORK/repo"
chmod -R u+w "$WORK/repo"
cp "$MODEL" "$WORK/repo/sub folder/stories260k-F32.gguf"
: >"$WORK/repo/empty.json"
"$HUB_SERVER" "$WORK/repo" >"$WORK/port" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$WORK"' EXIT
wait_until [ -s "$WORK/port" ]
export HF_ENDPOINT="http://127.0.0.1:$(cat "$WORK/port")"

# (trees/ is a list of files that newer versions of huggingface_hub keep beside; nothing needs it.)
layout() { (cd "$HF_HOME/hub/models--acme--tiny" && find . -path ./trees -prune -o -type l -printf '%p -> %l\n' -o -type f -printf '%p\n' | sort); }

# The same files: the same layout, name by name.
expect 0 "$HONE" pull acme/tiny --include '*'
layout >"$WORK/ours"
mine=$(cat "$WORK/out")
expect 0 env HF_HUB_OFFLINE=1 "$python" -c '
import huggingface_hub as h
print(h.snapshot_download("acme/tiny"))
assert h.try_to_load_from_cache("acme/tiny", "sub folder/stories260k-F32.gguf")
c = h.scan_cache_dir()
assert not c.warnings, c.warnings
r, = c.repos
assert r.repo_id == "acme/tiny" and set(r.refs) == {"main"}, r'
[ "$(tail -n 1 "$WORK/out")" = "$mine" ] || fail "huggingface_hub finds $(cat "$WORK/out"), not $mine"
rm -rf "$HF_HOME"
expect 0 "$python" -c 'import huggingface_hub as h; h.snapshot_download("acme/tiny")'
layout >"$WORK/theirs"
cmp -s "$WORK/ours" "$WORK/theirs" || fail "two layouts: $(diff "$WORK/ours" "$WORK/theirs")"
expect 0 "$HONE" pull acme/tiny
says "all of it was in the cache"
expect 0 "$HONE" info --brief acme/tiny
prints "llama: 5 layers"
expect 0 "$HONE" pull acme/tiny --verify --include '*'

# Each goes on from what the other left.
blob=$(sha256sum "$MODEL" | cut -d ' ' -f 1)
repo=$HF_HOME/hub/models--acme--tiny
rm -rf "$HF_HOME" && mkdir -p "$repo/blobs"
head -c 700000 "$MODEL" >"$repo/blobs/$blob.incomplete"
expect 0 "$HONE" pull acme/tiny:F32
says "fetched 346 KiB"
rm -rf "$HF_HOME" && mkdir -p "$repo/blobs"
head -c 700000 "$MODEL" >"$repo/blobs/$blob.incomplete"
expect 0 "$python" -c 'import huggingface_hub as h; print(h.hf_hub_download("acme/tiny", "sub folder/stories260k-F32.gguf"))'
cmp -s "$(tail -n 1 "$WORK/out")" "$MODEL" || fail "huggingface_hub does not go on from a part as hone leaves it"
finish
