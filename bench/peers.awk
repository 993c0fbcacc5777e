# The table of bench/peers: awk -v rounds=N -f median.awk -f peers.awk aims results

# The median over the rounds of list[row, side, round], or "" if it was not measured.
function middle(list, row, side,    r, n, all) {
    for (r = 1; r <= rounds; r++)
        if ((row, side, r) in list) all["x", ++n] = list[row, side, r]
    return n ? median(all, "x", n) : ""
}
function number(x) {
    return x == "" ? "-" : x < 10 ? sprintf("%.2f", x) : sprintf("%.1f", x)
}
# The columns of the other engines that were measured: their figures and how many times better hone's are.
function beside(row, test, h,    less, i, o, text) {
    less = test == "start" || test == "memory"
    for (i = 1; i <= others; i++) {
        o = middle(value, row, other[i])
        text = text sprintf("%18s", o == "" || h == "" ? "" : number(o) " " sprintf("%.2fx", less ? o / h : h / o))
    }
    return text
}
function heading(    i, text) {
    for (i = 1; i <= others; i++) text = text sprintf("%18s", other[i] == "vllm" ? "vLLM" : "OpenVINO")
    return text
}
function fits(text, pattern) {
    gsub(/\*/, ".*", pattern)
    return text ~ ("^(" pattern ")$")
}
# What the row is to reach, and whether it does.
function verdict(test, type, isa, share, ratio, value,    i, x, text) {
    for (i = 1; i <= aims; i++) {
        split(aim[i], a, " ")
        if (!fits(test, a[1]) || !fits(type, a[2]) || (a[3] != "any" && index(isa, a[3]) != 1)) continue
        x = a[4] == "share" ? share : a[4] == "ratio" ? ratio : value
        text = a[5] " " (a[4] == "share" ? 100 * a[6] " %" : a[4] == "ratio" ? a[6] "x" : a[6])
        if (x == "") return text
        return text ((a[5] == ">=" ? x + 0 >= a[6] + 0 : x + 0 <= a[6] + 0) ? ": yes" : ": NO")
    }
    return ""
}
function name(test,    n) {
    n = test
    sub(/^decode-x/, "decode together: ", n)
    sub(/^decode-at-/, "decode at depth ", n)
    sub(/^prefill-/, "prefill ", n)
    sub(/-(int8|bf16-weights)$/, ", --products&", n)
    sub(/-int8-row$/, ", --products-int8-row", n)
    sub(/--products-/, "--products ", n)
    if (n == "start") n = "start to first token, s"
    if (n == "memory") n = "peak memory / packed"
    if (n == "packed") n = "packed / file"
    if (n == "foreign") n = "slower with a busy thread"
    return n
}

FILENAME == ARGV[1] {
    if ($0 !~ /^#/ && NF) aim[++aims] = $0
    next
}
$4 == "limits" {
    isa[$1] = $5
    best_read = $7 > best_read ? $7 : best_read
    if ($8 > ops[$5]) ops[$5] = $8
    next
}
{
    row = $1 " " $2 " " $3 " " $4
    value[row, $5, $6] = $7
    if ($8 != "-") share[row, $5, $6] = $8
    if ($5 != "hone" && $5 != "peer") {
        if (!($5 in is_other)) { is_other[$5] = 1; other[++others] = $5 }
        if (!(row in seen)) next
    }
    if (!(row in seen)) { seen[row] = 1; order[++count] = row }
}
END {
    printf "limits measured in the same runs: read %.1f GB/s", best_read / 1e9
    for (i in ops) printf ", %s %.2f TFLOP/s", i, ops[i] / 1e12
    print "; tokens per second, medians (lowest..highest)"
    format = "%-11s %-13s %-14s %-36s %26s %9s %24s %18s%s  %s\n"
    printf format, "set", "model", "weights", "work", "hone", "of limit", "llama.cpp", "better by",
        heading(), "to reach"
    for (k = 1; k <= count; k++) {
        row = order[k]
        split(row, part, " ")
        h = middle(value, row, "hone"); h_low = low; h_high = high
        s = middle(share, row, "hone")
        p = middle(value, row, "peer"); p_low = low; p_high = high
        n = 0
        for (r = 1; r <= rounds; r++)
            if (((row, "hone", r) in value) && ((row, "peer", r) in value))
                each["x", ++n] = part[4] == "start" || part[4] == "foreign" || part[4] == "memory" ? \
                    value[row, "peer", r] / value[row, "hone", r] : value[row, "hone", r] / value[row, "peer", r]
        q = n ? median(each, "x", n) : ""
        spread = rounds > 1
        printf format, part[1], part[2], part[3], name(part[4]),
            number(h) (h != "" && spread ? " (" number(h_low) ".." number(h_high) ")" : ""),
            s == "" ? "-" : sprintf("%.0f %%", 100 * s),
            p == "" ? "not measured" : number(p) (spread ? " (" number(p_low) ".." number(p_high) ")" : ""),
            q == "" ? "-" : sprintf("%.2fx", q) (spread ? sprintf(" (%.2f..%.2f)", low, high) : ""),
            beside(row, part[4], h),
            verdict(part[4], part[3], isa[part[1]], s, q, h)
        if (part[4] ~ /^decode-x/) { # must not fall as sequences are added
            group = part[1] " " part[2] " " part[3] (sub(/-int8$/, "", part[4]) ? ", --products int8" : "")
            if ((group in former) && h < 0.97 * former[group]) falls[group] = falls[group] " " substr(part[4], 9)
            former[group] = h
        }
    }
    for (group in former)
        print group ": throughput of sequences together " (group in falls ? "FALLS at" falls[group] : "never falls")
}
