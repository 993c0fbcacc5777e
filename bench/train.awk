# The table of bench/train: awk -v rounds=N [-v json=1] -f median.awk -f train.awk results

function number(x) {
    return x >= 1000 ? sprintf("%.0f", x) : x >= 10 ? sprintf("%.1f", x) : sprintf("%.2f", x)
}
function spread(text) {
    return rounds > 1 && low != high ? text " (" number(low) ".." number(high) ")" : text
}
# The peer of a row in a round: of PyTorch's modes the quickest; at: its row.
function peer_of(row, round,    i, p, mine, best) {
    split(row, mine, " ")
    at = ""
    for (i = 1; i <= count; i++) {
        split(order[i], p, " ")
        if (p[1] != mine[1] || (p[2] != "PyTorch" && p[2] != "PEFT") || p[3] != mine[3]) continue
        if (((order[i], round) in speed) && speed[order[i], round] > best) { best = speed[order[i], round]; at = order[i] }
    }
    return best
}
function share(v, limit) {
    return limit ? sprintf("%.0f %%", 100 * v / limit) : "-"
}
function verdict(row, ratio, less, of_bf16, peak,    p, text) {
    split(row, p, " ")
    if (p[2] != "hone") return ""
    if (p[1] == "qlora") return "<= 5 GB: " (peak <= 5e9 ? "yes" : "NO")
    if (p[3] != "bfloat16") return ""
    if (p[1] == "lora") return ratio == "" ? ">= 1.5x" : ">= 1.5x: " (ratio >= 1.5 ? "yes" : "NO")
    text = ratio == "" ? ">= 4x" : ">= 4x: " (ratio >= 4 ? "yes" : "NO")
    text = text ", memory <= 1/2" (less == "" ? "" : less <= 0.5 ? ": yes" : ": NO")
    return text (amx ? ", >= 40 % of bf16: " (of_bf16 >= 0.4 ? "yes" : "NO") : "")
}

$1 == "limit" {
    if ($4 == "") next
    if ($2 ~ /bf16/ && $4 > bf16) bf16 = $4
    if ($2 ~ /f32/ && $4 > f32) f32 = $4
    if ($2 == "amx-bf16") amx = 1
    next
}
{
    row = $1 " " $2 " " $3 " " $4
    if (!(row in rounds_of)) order[++count] = row
    rounds_of[row]++
    speed[row, $5] = $6
    speeds[row, rounds_of[row]] = $6
    if ($7 != "-") cpus[row, rounds_of[row]] = 1000 * $7
    if ($8 != "-") memory[row, $5] = $8
    if ($8 != "-" && $8 > peaks[row]) peaks[row] = $8
    if ($9 != "-") flops[$1] = $9
}
END {
    if (!json) {
        printf "limits measured in the same run: float32 %.3f TFLOP/s, bf16 %s; medians (lowest..highest) of whole steps\n",
            f32 / 1e12, bf16 ? sprintf("%.3f TFLOP/s", bf16 / 1e12) : "none"
        format = "%-7s %-28s %26s %8s %8s %14s %10s %24s %8s  %s\n"
        printf format, "case", "what", "tokens/s", "of f32", "of bf16", "CPU ms/token", "peak MB", "tokens/s of the peer", "memory", "to reach"
    }
    for (k = 1; k <= count; k++) {
        row = order[k]
        split(row, p, " ")
        n = rounds_of[row]
        v = median(speeds, row, n)
        text = spread(number(v)); v_low = low; v_high = high
        cpu = ((row, 1) in cpus) ? median(cpus, row, n) : ""
        m = 0
        ratio = less = ""
        for (r = 1; r <= rounds && p[2] == "hone"; r++)
            if (((row, r) in speed) && (best = peer_of(row, r))) {
                each["x", ++m] = speed[row, r] / best
                lesses["x", m] = memory[row, r] / memory[at, r]
            }
        if (m) { less = median(lesses, "x", m); ratio = median(each, "x", m) }
        r_low = low; r_high = high
        f = flops[p[1]]
        if (json) {
            printf "%s{\"case\": \"%s\", \"side\": \"%s\", \"type\": \"%s\", \"mode\": \"%s\", \"tokens_s\": [%s, %s, %s], \"of_f32\": %.4f",
                k == 1 ? "[" : ",\n ", p[1], p[2], p[3], p[4], v_low, v, v_high, v * f / f32
            if (bf16) printf ", \"of_bf16\": %.4f", v * f / bf16
            if (cpu != "") printf ", \"cpu_ms_token\": %.6g", cpu
            if (peaks[row]) printf ", \"memory_peak\": %.0f", peaks[row]
            if (m) printf ", \"ratio\": [%.4f, %.4f, %.4f], \"memory_ratio\": %.4f", r_low, ratio, r_high, less
            printf "}"
            continue
        }
        printf format, p[1], p[2] " " p[3] (p[4] == "-" ? "" : " " p[4]), text, share(v * f, f32), share(v * f, bf16),
            cpu == "" ? "-" : sprintf("%.3f", cpu), peaks[row] ? sprintf("%.0f", peaks[row] / 1e6) : "-",
            m ? sprintf("%.2fx", ratio) (m > 1 ? sprintf(" (%.2f..%.2f)", r_low, r_high) : "") : "-",
            m ? sprintf("%.2f", less) : "-", verdict(row, ratio, less, bf16 ? v * f / bf16 : 0, peaks[row])
    }
    if (json) print "]"
}
