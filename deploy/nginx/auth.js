// An API key is base64(user:password) in `Authorization: Bearer`, `X-Api-Key` or `Api-Key`, for clients that cannot send basic
// auth. It is looked up in the same users file that auth_basic reads, so both always agree.
//
// A verdict on a key is kept for at most 5 s (js_shared_dict_zone in nginx.conf), and only as long as the file is the one
// it was read from: a user who is removed is refused at the next request.

import crypto from 'crypto';
import fs from 'fs';

const KEY = /^([A-Za-z0-9+/]+={0,2}) *$/;
const PAIR = /^([A-Za-z0-9._-]{1,64}):([ -~]{1,256})$/;

// No user's name: the key could not be looked up. The realm stays on for it (api_keys_njs.conf), so the request is refused; $unready
// makes 503 of that 401.
const NOT_CHECKED = '!';

// js_set: the user's name, or "" when the key is none. Never throws: a js_set that throws would fail the request as 500.
function bearer(r) {
    try {
        const file = r.variables.users_file;
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
    if (pair === null || pair[0] !== text) {            // in njs "$" also stands before a last newline
        return '';
    }
    const line = pair[1] + ':{SHA}' + crypto.createHash('sha1').update(pair[2]).digest('base64');
    return hasLine(fs.readFileSync(file), line) ? pair[1] : '';
}

// On bytes: as text, a file of 1,000 users costs 0.4 ms a request.
function hasLine(file, line) {
    let at = file.indexOf(line);
    while (at >= 0) {
        const end = at + line.length;
        if ((at === 0 || file[at - 1] === 10) && (end === file.length || file[end] === 10)) {
            return true;
        }
        at = file.indexOf(line, at + 1);
    }
    return false;
}

export default {bearer};
