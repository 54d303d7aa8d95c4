// REST <-> gRPC for one request. Written for njs >= 0.8.10, whose own engine lacks for-of and destructuring.
//
//   query()             whether the query can be refused at once
//   head()              the bytes that precede the client's body to form one gRPC message
//   header(), body()    gRPC answer -> HTTP status, headers and bytes
//
// A gRPC message on the wire is 1 flag byte, 4 bytes of length, then protobuf. google.api.HttpBody is content_type = 1,
// data = 2. The body is always the LAST field, so that nginx appends the client's bytes itself ($request_body) and
// JavaScript never copies them.
//
// njs runs this file's top level for each request, so tables are preloaded once (js_preload_object): `rpcs`,
// where each RPC's fields come from, and `answered`, which of the core's headers reach the client. A function call, a property
// and a variable cost 0.1 to 0.3 us each, so the common path is written inline.

const CONTENT_TYPE = 0x0a;      // HttpBody.content_type: field 1, length-delimited
const DATA = 0x12;              // HttpBody.data:         field 2, length-delimited

// ---------------------------------------------------------------------------------------------- request

// js_set for $query_check: the problem with the first parameter that is unknown to the RPC, repeated (njs gives an array) or
// has invalid characters; else "".
function query(r) {
    const plan = rpcs[r.variables.rpc];
    const known = plan === undefined || plan.query === undefined ? {} : plan.query;
    const unread = ` ${r.variables.unread_query} `;
    const names = Object.keys(r.args);
    // Allowed characters of a decoded parameter: like a path variable, it is then always valid UTF-8 for protobuf.
    const VALUE = /^[ -~]{0,1024}$/;
    for (let i = 0; i < names.length; i++) {
        const value = r.args[names[i]];
        // The part of a name that is quoted to the client.
        const shown = /^[A-Za-z0-9._~-]{1,64}$/.test(names[i]) && names[i].indexOf('\n') < 0 ? ` '${names[i]}'` : '';
        if (!Object.prototype.hasOwnProperty.call(known, names[i]) && unread.indexOf(` ${names[i]} `) < 0) {
            return `This path has no query parameter${shown}.`;
        }
        // In njs, "$" also matches before a final newline.
        if (typeof value !== 'string' || !VALUE.test(value) || value.indexOf('\n') >= 0) {
            return `The query parameter${shown} may stand once, and hold up to 1024 printable ASCII characters.`;
        }
    }
    return '';
}

// js_set for $grpc_make. Leaves its result in $grpc_head and is itself empty: bytes returned by a js_set are not safe in
// every njs. Must be read for the first time in proxy_set_body; before that the body has not been read.
function head(r) {
    const v = r.variables;
    try {
        v.grpc_head = message(r, v, rpcs[v.rpc]);
    } catch (e) {
        // A js_set cannot send an answer, so the core has to refuse: this message is invalid protobuf, whatever follows it.
        r.error('no gRPC request made: ' + e.message);
        v.grpc_head = Buffer.from([0, 0, 0, 0, 1, 0xff]);       // begins a field without ending it
    }
    return '';
}

// The gRPC message up to the client's body, which comes last; including it if nginx put the body into a file
// ($request_body is empty then). All texts here are ASCII, as ensured by locations, query() and the content type check.
function message(r, v, plan) {
    if (plan.body === undefined) {
        const start = fields(r, v, plan, 0);
        putSize(start, start.length - 5);
        return start;
    }
    const type = v.content_type;
    const bytes = v.request_body_file ? r.requestBuffer : null;
    const size = bytes === null ? bodySize(r, v) : bytes.length;
    const own = 2 + varintSize(type.length) + type.length + varintSize(size);   // of the HttpBody, before its data
    let start = null;
    let at = 5;
    if (plan.body === 0) {
        start = Buffer.alloc(5 + own);
    } else {                                            // an HttpBody within a message
        const room = varintSize(plan.body * 8 + 2) + varintSize(own + size) + own;
        start = fields(r, v, plan, room);
        at = putVarint(start, start.length - room, plan.body * 8 + 2);
        at = putVarint(start, at, own + size);
    }
    start[at] = CONTENT_TYPE;
    at = putText(start, at + 1, type);
    start[at] = DATA;
    putVarint(start, at + 1, size);
    putSize(start, start.length - 5 + size);
    return bytes === null ? start : Buffer.concat([start, bytes]);
}

// Five bytes for gRPC's prefix, the fields that come from path and query, and `room` bytes for what follows.
function fields(r, v, plan, room) {
    const numbers = [];
    const texts = [];
    let size = 5;
    function add(number, text) {
        numbers.push(number);
        texts.push(text);
        size += varintSize(number * 8 + 2) + varintSize(text.length) + text.length;
    }
    Object.keys(plan.path).forEach(name => add(plan.path[name], v[name]));
    if (plan.query !== undefined) {
        Object.keys(plan.query).forEach(name => add(plan.query[name], r.args[name] || ''));
    }
    const start = Buffer.alloc(size + room);
    let at = 5;
    for (let i = 0; i < numbers.length; i++) {
        at = putText(start, putVarint(start, at, numbers[i] * 8 + 2), texts[i]);
    }
    return start;
}

// Length of a body in memory. A chunked one has no content-length, so it is read from the body.
function bodySize(r, v) {
    const told = v.content_length;
    return told ? Number(told) : (r.requestBuffer || '').length;
}

// gRPC's prefix: not compressed, and the length.
function putSize(out, size) {
    out[1] = size >>> 24;
    out[2] = size >>> 16 & 255;
    out[3] = size >>> 8 & 255;
    out[4] = size & 255;
}

// These write at an offset and return the offset after it.
function putText(out, at, text) {
    at = putVarint(out, at, text.length);
    return at + out.write(text, at);
}

function putVarint(out, at, n) {
    while (n > 127) {
        out[at++] = (n & 127) | 128;
        n >>>= 7;
    }
    out[at] = n;
    return at + 1;
}

function varintSize(n) {
    let size = 1;
    while (n > 127) {
        size++;
        n >>>= 7;
    }
    return size;
}

// --------------------------------------------------------------------------------------------- response

// js_header_filter: runs when the core's initial metadata has arrived (or, if it failed at once, its only headers).
// State is kept on r: there is one r per request in every njs engine.
function header(r) {
    const v = r.variables;
    const out = r.headersOut;
    const status = v.upstream_http_x_http_status;
    const type = v.upstream_http_x_http_content_type || 'application/json';
    const allow = v.upstream_http_x_http_allow;
    const code = v.upstream_http_grpc_status;           // only present in a Trailers-Only answer
    r.rest = {error: null, ended: code === '0', events: false, at: PREFIX, got: 0, left: 0, field: 0, size: 0, shift: 1};
    const names = Object.keys(out);                     // headers for nginx itself are hidden by rest_call.conf
    for (let i = 0; i < names.length; i++) {
        const name = names[i];
        if (answered[name] !== 1 && !name.startsWith('x-sidecar-') && !name.startsWith('x-ratelimit-')) {
            delete out[name];
        }
    }
    if (code !== undefined && code !== '0') {
        // The text may contain anything (a Python exception): it is logged, and not sent to the client.
        r.error('core failed with gRPC status ' + code + ': ' + v.upstream_http_grpc_message);
        refuse(r, failure(code));
    } else if (status !== '200' && !(Number(status) >= 200 && Number(status) < 600)) {
        r.error('the core sent no x-http-status');
        refuse(r, [502, 'core_failed']);
    } else {
        if (status !== '200') {
            r.status = Number(status);
        }
        out['Content-Type'] = type;
        if (allow) {
            out['Allow'] = allow;
        }
        if (type.startsWith('text/event-stream')) {
            r.rest.events = true;                          // sent at once; other answers wait for 1460 bytes or the end
            out['X-Accel-Buffering'] = 'no';
            out['Cache-Control'] = 'no-cache';
        }
    }
}

// A gRPC status other than OK means that the core itself failed: the message for the client. gRPC answers CANCELLED
// to a call that arrives during its shutdown, RESOURCE_EXHAUSTED to a call beyond its limit.
function failure(code) {
    if (code === '1' || code === '8' || code === '14') {
        return [503, 'core_unavailable'];
    }
    return code === '4' ? [504, 'core_timeout'] : [500, 'core_failed'];
}

function refuse(r, answer) {
    r.status = answer[0];
    r.headersOut['Content-Type'] = 'application/json';
    if (answer[0] === 503) {
        r.headersOut['Retry-After'] = '1';
    }
    r.rest.error = JSON.stringify(
        {error: {message: 'The gateway core failed.', type: 'api_error', param: null, code: answer[1]}});
}

// State of the reader of gRPC bytes.
const PREFIX = 0;       // in the 5 bytes before a message
const TAG = 1;          // in a field's tag
const SIZE = 2;         // in a field's length
const BYTES = 3;        // in a field's bytes

// js_body_filter, buffer_type=buffer. Called with any bytes that arrive; frames and fields may be split anywhere. The data
// of every HttpBody is forwarded at once without buffering (njs frees nothing until the request ends).
// Throwing closes the client's connection: after the headers, that is the only way to signal a failure.
function body(r, chunk, flags) {
    const s = r.rest;
    if (s.error !== null) {
        if (flags.last) {
            r.sendBuffer(s.error, flags);
        }
        return;
    }
    const length = chunk.length;
    let i = 0;
    let out = null;
    if (length > 0) {
        // If the trailers came with these bytes, the end of the answer follows in the same turn and is sent together.
        out = {last: false, flush: s.events && r.variables.upstream_trailer_grpc_status === undefined};
    }
    while (i < length) {
        if (s.at === PREFIX && s.got === 0 && length - i > 8 && chunk[i] === 0) {
            // The common case: a complete message.
            const end = i + 5 + ((chunk[i + 1] * 256 + chunk[i + 2]) * 256 + chunk[i + 3]) * 256 + chunk[i + 4];
            let at = i + 5;
            if (chunk[at] === CONTENT_TYPE && chunk[at + 1] < 128) {
                at += 2 + chunk[at + 1];
            }
            if (chunk[at] === DATA && end <= length) {
                let size = chunk[at + 1];
                at += 2;
                if (size > 127) {
                    size += (chunk[at] - 1) * 128;
                    at += 1;
                    if (chunk[at - 1] > 127) {
                        size += (chunk[at] - 1) * 16384;
                        at += 1;
                    }
                }
                if (at + size === end) {
                    r.sendBuffer(chunk.subarray(at, end), out);
                    i = end;
                    continue;
                }
            }
        }
        if (s.at === BYTES) {
            const end = Math.min(length, i + s.size);
            if (s.field === DATA) {
                r.sendBuffer(chunk.subarray(i, end), out);
            }
            s.size -= end - i;
            s.left -= end - i;
            i = end;
            if (s.size === 0) {
                s.at = s.left === 0 ? PREFIX : TAG;
            }
        } else {
            step(s, chunk[i++]);
        }
    }
    if (flags.last) {
        finish(r, s, flags);
    }
}

// One byte of a prefix, a tag or a length.
function step(s, byte) {
    if (s.at === PREFIX) {
        if (s.got === 0 && byte !== 0) {
            throw new Error('compressed gRPC message');         // the front never sends grpc-accept-encoding
        }
        s.left = s.got === 0 ? 0 : s.left * 256 + byte;
        s.got += 1;
        if (s.got === 5) {
            s.got = 0;
            s.at = s.left === 0 ? PREFIX : TAG;
        }
        return;
    }
    s.left -= 1;
    if (s.at === TAG) {
        if (byte !== CONTENT_TYPE && byte !== DATA) {
            throw new Error('not a plain google.api.HttpBody: tag ' + byte);
        }
        s.field = byte;
        s.size = 0;
        s.shift = 1;
        s.at = SIZE;
        return;
    }
    s.size += (byte & 127) * s.shift;
    s.shift *= 128;
    if (byte < 128) {
        if (s.size > s.left) {
            throw new Error('HttpBody field is longer than its message');
        }
        s.at = s.size > 0 ? BYTES : s.left === 0 ? PREFIX : TAG;
    }
}

function finish(r, s, flags) {
    const code = r.variables.upstream_trailer_grpc_status;
    if (s.at !== PREFIX || s.got !== 0) {
        throw new Error('gRPC stream ended inside a message');
    }
    if (code !== '0' && !s.ended) {                     // missing trailers are an error, too
        throw new Error('gRPC status ' + code + ' after the headers');
    }
    r.sendBuffer('', flags);
}

export default {query, head, header, body};
