// An API key is base64(user:password) in `Authorization: Bearer`, for clients that cannot send basic auth. It is looked
// up in the same users file that auth_basic reads, at every request, so both always agree.

import crypto from 'crypto';
import fs from 'fs';

const KEY = /^bearer +([A-Za-z0-9+/]+={0,2}) *$/i;
const PAIR = /^([A-Za-z0-9._-]{1,64}):([ -~]{1,256})$/;

// js_set: the user's name, or "" when the key is none. Never throws: a js_set that throws would fail the request as 500.
function bearer(r) {
    try {
        const key = KEY.exec(r.variables.http_authorization);
        const text = key === null ? '' : Buffer.from(key[1], 'base64').toString();
        const pair = PAIR.exec(text);
        if (pair === null || pair[0] !== text) {            // in njs "$" also stands before a last newline
            return '';
        }
        const line = pair[1] + ':{SHA}' + crypto.createHash('sha1').update(pair[2]).digest('base64');
        const users = '\n' + fs.readFileSync(r.variables.users_file, 'utf8') + '\n';
        return users.indexOf('\n' + line + '\n') < 0 ? '' : pair[1];
    } catch (e) {
        r.error('API key not checked: ' + e.message);
        return '';
    }
}

export default {bearer};
