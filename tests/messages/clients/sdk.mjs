// Anthropic's Node SDK against the gateway: `node sdk.mjs ROUTE...` with ANTHROPIC_BASE_URL and
// ANTHROPIC_API_KEY. Prints a report of each route, as JSON.

import Anthropic from '@anthropic-ai/sdk';
import {betaTool} from '@anthropic-ai/sdk/helpers/beta/json-schema';

const client = new Anthropic({maxRetries: 0});
const messages = [{role: 'user', content: 'Oslo?'}];
let runs = 0;
const find = betaTool({
    name: 'find',
    description: 'Finds.',
    inputSchema: {type: 'object', properties: {q: {}}},
    run: (input) => { runs += 1; return `found ${input.q}`; },
});

async function report(model) {
    runs = 0;
    const call = {model, max_tokens: 64, messages};
    const whole = await client.messages.create(call);
    const stream = client.messages.stream(call);
    let pieces = '';
    stream.on('text', (text) => { pieces += text; });
    const streamed = await stream.finalMessage();
    const last = await client.beta.messages.toolRunner({...call, tools: [find]});
    const before = runs;
    const types = [];
    for await (const each of client.beta.messages.toolRunner({...call, tools: [find], stream: true})) {
        const message = await each.finalMessage();
        types.push(message.content[message.content.length - 1].type);
    }
    const count = await client.messages.countTokens({model, messages});
    const models = [];
    for await (const each of client.models.list()) {
        models.push(each.id);
    }
    let failure = null;
    try {
        await client.messages.create({...call, model: 'nobody'});
    } catch (error) {
        failure = [error.status, error.error.error.type, Boolean(error.requestID)];
    }
    return {
        text: whole.content[0].text, request_id: Boolean(whole._request_id), stop_reason: whole.stop_reason,
        usage: whole.usage.input_tokens, pieces, streamed: streamed.content[0].text,
        runner: last.content[last.content.length - 1].text, tool_runs: before,
        streamed_runner: types, streamed_tool_runs: runs - before,
        count: count.input_tokens, models, failure,
    };
}

const reports = {};
for (const model of process.argv.slice(2)) {
    reports[model] = await report(model);
}
console.log(JSON.stringify(reports));
