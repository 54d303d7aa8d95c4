// An API key is base64(user:password) in `Authorization: Bearer`, `X-Api-Key` or `Api-Key`, for clients that cannot send basic
// auth. It is looked up in the same users file that auth_basic reads, so both always agree.
//
// The result for a key is cached for at most 5 s (js_shared_dict_zone in nginx.conf), and only as long as the file is the one
// it was read from: a user who is removed is refused at the next request.

import crypto from 'crypto';
import fs from 'fs';

const KEY = /^([A-Za-z0-9+/]+={0,2}) *$/;
const PAIR = /^((?!!)[^:\x00-\x1f\x7f]{1,256}):([^\x00-\x1f\x7f]{1,256})$/;
const LINE_END = 10;
// What may follow the hash in a hand-written file: a line end of either kind, and a comment as a third field. The same rule is
// in sidecar/front/envoy/users.py.
const ENDS = [LINE_END, 13, ':'.charCodeAt(0)];

// Not a valid user name (see PAIR): the key could not be checked. The realm stays on for it
// (api_keys_njs.conf), so the request is refused; $unready makes 503 of that 401.
const NOT_CHECKED = '!';

// js_set: the user's name, or "" if the key is invalid. Never throws: that would fail the request with 500.
function bearer(r) {
    try {
        const file = r.variables.users_path;
        const state = fs.statSync(file);
        const digest = crypto.createHash('sha256').update(r.variables.api_key).digest('base64');
        const key = `${state.ino} ${state.size} ${state.mtimeMs} ${state.ctimeMs} ${digest}`;
        const known = ngx.shared.verdicts.get(key);
        if (known !== undefined) {
            return known;
        }
        const user = lookUp(r.variables.api_key, file);
        ngx.shared.verdicts.set(key, user);
        return user;
    } catch (e) {
        r.error('API key not checked: ' + e.message);
        return NOT_CHECKED;
    }
}

function lookUp(header, file) {
    const key = KEY.exec(header);
    const text = key === null ? '' : Buffer.from(key[1], 'base64').toString();
    const pair = PAIR.exec(text);
    if (pair === null || pair[0] !== text) {            // in njs, "$" also matches before a final newline
        return '';
    }
    const line = pair[1] + ':{SHA}' + crypto.createHash('sha1').update(pair[2]).digest('base64');
    return isLine(fs.readFileSync(file), pair[1] + ':', line) ? pair[1] : '';
}

// Whether this is the user's first line, the one that counts. Compares bytes: as text, a file of 1,000 users takes 0.4 ms
// a request.
function isLine(file, start, line) {
    let at = file.indexOf(start);
    while (at > 0 && file[at - 1] !== LINE_END) {
        at = file.indexOf(start, at + 1);
    }
    const end = at + Buffer.byteLength(line);
    return at >= 0 && file.toString('utf8', at, end) === line && (end === file.length || ENDS.indexOf(file[end]) >= 0);
}

export default {bearer};
