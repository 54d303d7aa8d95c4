// The front's counters, in a dictionary shared by all its processes: kept across reloads, lost at a restart.
//
// A call is two writes: one entry for its group, class and bucket together, and a sum of seconds. metrics_page.js adds them up
// when they are shown. At worst 7 groups x 6 classes x 15 buckets, 42 sums and 3 counters. Every label is a word of
// nginx.conf, never from a client.
//
// njs runs the top level of its files for each request and takes 0.3 us per variable, so maps in nginx.conf combine
// what is needed of a call, and tables are preloaded (buckets.json).

// Evaluated by the `if=` of an access_log that writes nothing, the only hook that runs in the log phase.
function count(r) {
    const v = r.variables;
    const front = ngx.shared.front;
    if (v.unusual) {
        countUnusual(v, front);
    }
    const ended = v.ended;                                      // "openai 2xx"
    const seconds = Number(v.request_time);
    const bounds = buckets.bounds;                              // seconds, to the last byte
    let i = 0;
    while (i < 14 && seconds > bounds[i]) {
        i++;
    }
    front.incr('call ' + ended + ' ' + i, 1, 0);
    front.incr('sum ' + ended, seconds, 0);
    return '';
}

// Answers of Nginx itself, and calls for which no worker was reachable.
function countUnusual(v, front) {
    const grpc = v.grpc_ended || undefined;
    if (v.upstream_status === undefined) {
        if (v.status === '401' || v.sent_http_grpc_status === '16') {
            front.incr('auth_failures_total', 1, 0);
        }
        if (v.status === '413' || v.sent_http_grpc_message === 'Request body too large') {
            front.incr('too_large_total', 1, 0);
        }
        if (grpc !== undefined ? grpc !== '0' : Number(v.status) >= 400 && v.status !== '499') {
            logRefused(v, grpc);
        }
    }
    const times = v.upstream_connect_time;
    if (times !== undefined && times.indexOf('-') >= 0) {       // "-" per attempt that found no worker
        front.incr('connect_errors_total', times.split('-').length - 1, 0);
    }
}

// One line for the operator, without query string, credentials or unverified names. Not r.warn, which adds the whole
// request line.
function logRefused(v, grpc) {
    // 404 and 415 only occur after authentication.
    const user = v.caller || ((v.status === '404' || v.status === '415') && v.checked_user) || '-';
    const path = (v.logged_path || '-').substring(0, 256).replace(/[^!-~]/g, '?');
    ngx.log(ngx.WARN, `refused ${v.status} (gRPC ${grpc || '-'}) ${v.logged_method} ${path} from ${v.remote_addr} for ${user} `
        + `[${v.req_id}]`);
}

export default {count};
