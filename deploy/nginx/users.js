// Whether the users file lets anybody in. Asked only where somebody is about to be refused: where nobody can come in, the file is at
// fault, and not the credentials.

import fs from 'fs';

// A name, and a hash of a kind that auth_basic knows; sidecar/front/envoy/users.py has the one kind that Envoy knows.
const USER = /^[^#:\x00-\x1f\x7f][^:\x00-\x1f\x7f]*:(\{(SHA|SSHA|PLAIN)\}|\$[0-9a-z]+\$|[A-Za-z0-9.\/]{13}(:|\r?$))/m;

// js_set: "1" where nobody can come in. Never throws: a js_set that throws would fail the request as 500.
function nobody(r) {
    try {
        return USER.test(fs.readFileSync(r.variables.users_path).toString()) ? '' : '1';
    } catch (e) {
        r.error('the users file cannot be read: ' + e.message);
        return '1';
    }
}

export default {nobody};
