// The counters of metrics.js as a page in Prometheus' text format. Sums are computed here, per scrape instead of per call.

function show(r) {
    const zone = ngx.shared.front;
    const requests = {}, counts = {}, sums = {};
    zone.keys(2000).sort().forEach(function (key) {
        const word = key.split(' ');
        if (word[0] === 'call') {
            const series = `group="${word[1]}",class="${word[2]}"`;
            requests[series] = (requests[series] || 0) + zone.get(key);
            const bucket = `${word[1]} ${word[3]}`;
            counts[bucket] = (counts[bucket] || 0) + zone.get(key);
        } else if (word[0] === 'sum') {
            sums[word[1]] = (sums[word[1]] || 0) + zone.get(key);
        }
    });
    const lines = [];
    family(lines, 'requests_total', 'counter');
    Object.keys(requests).sort().forEach(function (series) {
        lines.push(`sidecar_front_requests_total{${series}} ${requests[series]}`);
    });
    ['auth_failures_total', 'too_large_total', 'connect_errors_total'].forEach(function (name) {
        family(lines, name, 'counter');
        lines.push(`sidecar_front_${name} ${zone.get(name) || 0}`);
    });
    family(lines, 'request_duration_seconds', 'histogram');
    Object.keys(sums).forEach(function (group) {
        histogram(group, sums[group], counts, lines);
    });
    r.headersOut['Content-Type'] = 'text/plain; version=0.0.4; charset=utf-8';
    r.return(200, `${lines.join('\n')}\n`);
}

function family(lines, name, type) {
    const help = {
        requests_total: 'Requests that the front has answered.',
        auth_failures_total: 'Requests that the front refused because of their credentials.',
        too_large_total: 'Requests that the front refused because their body is too large.',
        connect_errors_total: 'Times the front could not reach a worker.',
        request_duration_seconds: 'Seconds from the first byte of a request to the last byte of the answer.',
    };
    lines.push(`# HELP sidecar_front_${name} ${help[name]}`, `# TYPE sidecar_front_${name} ${type}`);
}

function histogram(group, sum, counts, lines) {
    const name = 'sidecar_front_request_duration_seconds';
    let total = 0;
    for (let i = 0; i <= buckets.bounds.length; i++) {
        total += counts[`${group} ${i}`] || 0;
        const le = i < buckets.bounds.length ? buckets.bounds[i] : '+Inf';
        lines.push(`${name}_bucket{group="${group}",le="${le}"} ${total}`);
    }
    lines.push(`${name}_count{group="${group}"} ${total}`, `${name}_sum{group="${group}"} ${sum}`);
}

export default {show};
