// REST <-> gRPC for one request. Written for njs >= 0.8.10, whose own engine knows no for-of and no destructuring.
//
//   query()             whether the query can be refused at once
//   head()              the bytes that go before the client's body to make it one gRPC message
//   header(), body()    gRPC answer -> HTTP status, headers and bytes
//
// A gRPC message on the wire is 1 flag byte, 4 bytes of length, then protobuf. google.api.HttpBody is content_type = 1,
// data = 2. The body is always the LAST field, so that nginx appends the client's bytes itself ($request_body) and
// JavaScript never copies them.
//
// njs runs this file's top level anew for each request, so tables are made where they are needed; `rpcs`, where each RPC's
// fields come from, is made once, at the start (js_preload_object).

const CONTENT_TYPE = 0x0a;      // HttpBody.content_type: field 1, length-delimited
const DATA = 0x12;              // HttpBody.data:         field 2, length-delimited

// ---------------------------------------------------------------------------------------------- request

// js_set for $query_check: what is wrong with the first parameter that is none of the RPC's, stands twice (njs gives an array) or
// holds what no field may; else "".
function query(r) {
    const plan = rpcs[r.variables.rpc];
    const known = plan === undefined || plan.query === undefined ? {} : plan.query;
    const unread = ` ${r.variables.unread_query} `;
    const names = Object.keys(r.args);
    // What a parameter may hold once it is decoded: like a path variable, it is then always valid UTF-8 for protobuf.
    const VALUE = /^[ -~]{0,1024}$/;
    for (let i = 0; i < names.length; i++) {
        const value = r.args[names[i]];
        // What of a name is repeated to the client.
        const shown = /^[A-Za-z0-9._~-]{1,64}$/.test(names[i]) && names[i].indexOf('\n') < 0 ? ` '${names[i]}'` : '';
        if (!Object.prototype.hasOwnProperty.call(known, names[i]) && unread.indexOf(` ${names[i]} `) < 0) {
            return `This path has no query parameter${shown}.`;
        }
        // In njs "$" also stands before a last newline.
        if (typeof value !== 'string' || !VALUE.test(value) || value.indexOf('\n') >= 0) {
            return `The query parameter${shown} may stand once, and hold up to 1024 printable ASCII characters.`;
        }
    }
    return '';
}

// js_set for $grpc_make. Leaves its result in $grpc_head and is itself empty: bytes returned by a js_set are not safe in
// every njs. Must be read for the first time in proxy_set_body; before that the body has not been read.
function head(r) {
    try {
        r.variables.grpc_head = message(r, rpcs[r.variables.rpc]);
    } catch (e) {
        // A js_set cannot answer, so the core has to refuse: this message is no protobuf, whatever follows it.
        r.error('no gRPC request made: ' + e.message);
        r.variables.grpc_head = Buffer.from([0, 0, 0, 0, 1, 0xff]);     // begins a field and does not end it
    }
    return '';
}

// Everything of the gRPC message but the client's body, which comes last; with it, if nginx put the body into a file
// ($request_body is empty then). Every text here is ASCII: locations, query() and the check of the content type see to it.
function message(r, plan) {
    const v = r.variables;
    const fields = [];                              // number, text, number, text, ...
    let room = 32;                                  // gRPC's five bytes and what stands before the body
    Object.keys(plan.path).forEach(function (name) {
        fields.push(plan.path[name], v[name]);
        room += v[name].length + 16;
    });
    if (plan.query !== undefined) {
        Object.keys(plan.query).forEach(function (name) {
            const text = r.args[name] || '';
            fields.push(plan.query[name], text);
            room += text.length + 16;
        });
    }
    const type = plan.body === undefined ? '' : v.content_type;
    const start = Buffer.alloc(room + type.length);
    let at = 5;
    for (let i = 0; i < fields.length; i += 2) {
        at = putText(start, putVarint(start, at, fields[i] * 8 + 2), fields[i + 1]);
    }
    if (plan.body === undefined) {
        start.writeUInt32BE(at - 5, 1);
        return start.subarray(0, at);
    }
    const bytes = v.request_body_file ? r.requestBuffer : null;
    const size = bytes === null ? bodySize(r) : bytes.length;
    if (plan.body !== 0) {
        at = putVarint(start, at, plan.body * 8 + 2);
        at = putVarint(start, at, 2 + varintSize(type.length) + type.length + varintSize(size) + size);
    }
    start[at] = CONTENT_TYPE;
    at = putText(start, at + 1, type);
    start[at] = DATA;
    at = putVarint(start, at + 1, size);
    start.writeUInt32BE(at - 5 + size, 1);
    const whole = start.subarray(0, at);
    return bytes === null ? whole : Buffer.concat([whole, bytes]);
}

// Length of a body that is in memory. A chunked one has no content-length of its own; then JavaScript has to look.
function bodySize(r) {
    const said = r.variables.content_length;
    return said ? Number(said) : (r.requestBuffer || '').length;
}

// These write at a place and return the one behind it.
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

// js_header_filter: runs when the core's initial metadata is here (or, if it failed at once, its only headers).
// State lives on r: one r a request in every njs engine.
function header(r) {
    const v = r.variables;
    const status = v.upstream_http_x_http_status;
    const type = v.upstream_http_x_http_content_type || 'application/json';
    const allow = v.upstream_http_x_http_allow;
    const code = v.upstream_http_grpc_status;           // here only in a Trailers-Only answer

    // Events leave at once; the rest waits for 1460 bytes or the end: fewer writes, half the CPU.
    r.rest = {error: null, ended: code === '0', events: false, at: PREFIX, got: 0, left: 0, field: 0, size: 0, shift: 1};
    const names = Object.keys(r.headersOut);            // what the core says to nginx alone is hidden by rest_call.conf
    for (let i = 0; i < names.length; i++) {
        if (!copied(names[i].toLowerCase())) {
            delete r.headersOut[names[i]];
        }
    }
    if (code !== undefined && code !== '0') {
        // The text may hold anything (a Python exception): it goes to the log and not to the client.
        r.error('core failed with gRPC status ' + code + ': ' + v.upstream_http_grpc_message);
        refuse(r, failure(code));
    } else if (!(Number(status) >= 200 && Number(status) < 600)) {
        r.error('the core sent no x-http-status');
        refuse(r, [502, 'core_failed']);
    } else {
        r.status = Number(status);
        r.headersOut['Content-Type'] = type;
        if (allow) {
            r.headersOut['Allow'] = allow;
        }
        if (type.startsWith('text/event-stream')) {
            r.rest.events = true;
            r.headersOut['X-Accel-Buffering'] = 'no';
            r.headersOut['Cache-Control'] = 'no-cache';
        }
    }
}

// What the core says to the client, as RestService writes it: in lower case.
function copied(name) {
    return name.startsWith('x-ratelimit-') || name.startsWith('x-sidecar-')
        || (' retry-after x-request-id request-id x-should-retry location cache-control content-security-policy '
            + 'referrer-policy ').indexOf(` ${name} `) >= 0;
}

// A gRPC status that is not OK means that the core itself failed: what the client is told of it. CANCELLED is what grpc
// answers to a call that meets its shutdown, RESOURCE_EXHAUSTED to one call too many.
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

// Where the reader of the gRPC bytes stands.
const PREFIX = 0;       // in the 5 bytes before a message
const TAG = 1;          // in a field's tag
const SIZE = 2;         // in a field's length
const BYTES = 3;        // in a field's bytes

// js_body_filter, buffer_type=buffer. Called with whatever bytes arrived; frames and fields may be cut anywhere. The data
// of every HttpBody is sent on at once, nothing is collected (njs frees nothing until the request ends).
// Throwing cuts the client's connection: after the headers that is the only honest way to say that it failed.
function body(r, chunk, flags) {
    const s = r.rest;
    if (s.error !== null) {
        if (flags.last) {
            r.sendBuffer(s.error, flags);
        }
        return;
    }
    const out = {last: false, flush: s.events};
    let i = 0;
    while (i < chunk.length) {
        if (s.at === BYTES) {
            const end = Math.min(chunk.length, i + s.size);
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
            throw new Error('compressed gRPC message');         // the front never offers grpc-accept-encoding
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
    if (code !== '0' && !s.ended) {                     // no trailers at all is an error too
        throw new Error('gRPC status ' + code + ' after the headers');
    }
    r.sendBuffer('', flags);
}

export default {query, head, header, body};
