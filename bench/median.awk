# For peers.awk and train.awk: awk -f median.awk -f TABLE.awk ...

# The median of list[key, 1..n]; low and high are set.
function median(list, key, n,    i, j, t, v) {
    for (i = 1; i <= n; i++) v[i] = list[key, i]
    for (i = 2; i <= n; i++)
        for (j = i; j > 1 && v[j] < v[j - 1]; j--) { t = v[j]; v[j] = v[j - 1]; v[j - 1] = t }
    low = v[1]; high = v[n]
    return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
