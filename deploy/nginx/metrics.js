// What the front counts, in a shared dictionary of all its processes: kept over a reload, lost at a restart.
//
// A call is two writes: one entry for its group, class and bucket together, and the group's sum of seconds. They are added up
// when they are shown. At worst 7 groups x 6 classes x 15 buckets, 7 sums and 3 counters. Every label is a word of this
// file: nothing that a client sends becomes one.

//
// njs runs this file's top level anew for each request, so tables are made where they are needed.

function bounds() {
    return [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];  // seconds, to the last byte
}

// Read by the `if=` of an access_log that writes nothing, because that is the one thing that runs in the log phase.
function count(r) {
    const v = r.variables;
    const group = groupOf(v.request_uri || '');
    const grpc = v.upstream_trailer_grpc_status || v.sent_http_grpc_status;
    const kind = classOf(v.status, group, grpc);
    const answered = v.upstream_status !== undefined;       // by the core, not by nginx itself
    if (!answered && (v.status === '401' || v.sent_http_grpc_status === '16')) {
        add('auth_failures_total', 1);
    }
    if (!answered && (v.status === '413' || v.sent_http_grpc_message === 'Request body too large')) {
        add('too_large_total', 1);
    }
    if (!answered && (grpc !== undefined ? grpc !== '0' : Number(v.status) >= 400 && v.status !== '499')) {
        logRefused(v, grpc);
    }
    const times = v.upstream_connect_time;
    if (times !== undefined && times.indexOf('-') >= 0) {   // a worker that could not be reached: "-" per attempt
        add('connect_errors_total', times.split('-').length - 1);
    }
    let i = 0;
    const seconds = Number(v.request_time), most = bounds();
    while (i < most.length && seconds > most[i]) {
        i++;
    }
    add(`call ${group} ${kind} ${i}`, 1);
    add(`sum ${group}`, seconds);
    return '';
}

// One line for the operator, without query string, credentials or a name that was not checked. Not r.warn, which adds the whole
// request line.
function logRefused(v, grpc) {
    // 404 and 415 only follow once credentials were checked.
    const user = v.caller || ((v.status === '404' || v.status === '415') && v.checked_user) || '-';
    const path = (v.logged_path || '-').substring(0, 256).replace(/[^!-~]/g, '?');
    ngx.log(ngx.WARN, `refused ${v.status} (gRPC ${grpc || '-'}) ${v.logged_method} ${path} from ${v.remote_addr} for ${user} `
        + `[${v.req_id}]`);
}

function groupOf(uri) {
    if (uri.startsWith('/v1/') || uri.startsWith('/openai/')) {
        return 'openai';
    }
    if (uri.startsWith('/gateway/') || uri.startsWith('/endpoints/') || uri.startsWith('/api/')) {
        return 'mlflow';
    }
    if (uri.startsWith('/sidecar.v1.') || uri.startsWith('/grpc.')) {
        return 'grpc';
    }
    if (uri.startsWith('/docs') || uri.startsWith('/home/') || uri.startsWith('/openapi.json') || uri === '/') {
        return 'docs';
    }
    return uri.startsWith('/health') ? 'health' : 'other';
}

function classOf(status, group, grpc) {
    if (status === '499') {
        return 'gone';                                      // the client left before the answer
    }
    if (group !== 'grpc' || grpc === undefined) {
        return `${status[0]}xx`;
    }
    if (grpc === '0') {
        return '2xx';
    }
    return grpc === '1' ? 'gone' : isCallers(grpc) ? '4xx' : '5xx';
}

// Of gRPC's statuses those that are the caller's doing; the others but OK and CANCELLED are ours.
function isCallers(grpc) {
    return ' 3 5 6 7 8 9 11 12 16 '.indexOf(` ${grpc} `) >= 0;
}

function add(series, n) {
    ngx.shared.front.incr(series, n, 0);
}

// Prometheus' text format.
function show(r) {
    const zone = ngx.shared.front;
    const requests = {}, buckets = {}, groups = [];
    zone.keys(2000).sort().forEach(function (key) {
        const word = key.split(' ');
        if (word[0] === 'call') {
            const series = `group="${word[1]}",class="${word[2]}"`;
            requests[series] = (requests[series] || 0) + zone.get(key);
            const bucket = `${word[1]} ${word[3]}`;
            buckets[bucket] = (buckets[bucket] || 0) + zone.get(key);
        } else if (word[0] === 'sum') {
            groups.push(word[1]);
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
    groups.forEach(function (group) {
        histogram(zone, group, buckets, lines);
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

function histogram(zone, group, buckets, lines) {
    const name = 'sidecar_front_request_duration_seconds';
    let total = 0;
    bounds().concat(['+Inf']).forEach(function (le, i) {
        total += buckets[`${group} ${i}`] || 0;
        lines.push(`${name}_bucket{group="${group}",le="${le}"} ${total}`);
    });
    lines.push(`${name}_count{group="${group}"} ${total}`, `${name}_sum{group="${group}"} ${zone.get(`sum ${group}`)}`);
}

export default {count, show};
