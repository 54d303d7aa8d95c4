// The AI SDK's default provider and OpenAI's own SDK: a loop with a tool on each route of the command line. Prints JSON.
import { createOpenAI } from '@ai-sdk/openai';
import { generateText, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { z } from 'zod';

const runs = [];
const found = (q) => (runs.push(q), `found ${q}`);
const find = tool({
    description: 'Looks a number up.',
    inputSchema: z.object({ q: z.number() }),
    execute: async ({ q }) => found(q),
});

async function aiSdk(route, streamed, store) {
    const provider = createOpenAI({ baseURL: process.env.OPENAI_BASE_URL, apiKey: process.env.OPENAI_API_KEY });
    const options = {
        model: provider(route),
        prompt: 'What is it?',
        tools: { find },
        stopWhen: stepCountIs(5),
        maxRetries: 0,
        // By default the SDK sends references to items that the server keeps.
        ...(store ? {} : { providerOptions: { openai: { store: false } } }),
    };
    return streamed ? await streamText(options).text : (await generateText(options)).text;
}

async function openai(route) {
    const client = new OpenAI({ maxRetries: 0 });
    const parameters = { type: 'object', properties: { q: { type: 'integer' } }, required: ['q'] };
    const input = [{ role: 'user', content: 'What is it?' }];
    for (;;) {
        const tools = [{ type: 'function', name: 'find', parameters, strict: false }];
        const answer = await client.responses.stream({ model: route, input, tools }).finalResponse();
        input.push(...answer.output);
        const calls = answer.output.filter((item) => item.type === 'function_call');
        if (!calls.length) return answer.output_text;
        for (const call of calls) {
            const output = found(JSON.parse(call.arguments).q);
            input.push({ type: 'function_call_output', call_id: call.call_id, output });
        }
    }
}

async function openaiById(route) {
    const client = new OpenAI({ maxRetries: 0 });
    const parameters = { type: 'object', properties: { q: { type: 'integer' } }, required: ['q'] };
    const tools = [{ type: 'function', name: 'find', parameters, strict: false }];
    let request = { input: 'What is it?' };
    for (;;) {
        const answer = await client.responses.stream({ model: route, tools, ...request }).finalResponse();
        const calls = answer.output.filter((item) => item.type === 'function_call');
        if (!calls.length) return answer.output_text;
        const input = calls.map(({ call_id, arguments: given }) => {
            return { type: 'function_call_output', call_id, output: found(JSON.parse(given).q) };
        });
        request = { input, previous_response_id: answer.id };
    }
}

const clients = process.env.REMEMBERS
    ? {
          'ai sdk': (route) => aiSdk(route, false, true),
          'ai sdk, streamed': (route) => aiSdk(route, true, true),
          'openai, stream helper': openaiById,
      }
    : {
          'ai sdk': (route) => aiSdk(route, false, false),
          'ai sdk, streamed': (route) => aiSdk(route, true, false),
          'openai, stream helper': openai,
      };
const report = {};
for (const route of process.argv.slice(2)) {
    for (const [name, run] of Object.entries(clients)) {
        runs.length = 0;
        const text = await run(route);
        report[`${name} on ${route}`] = { text, runs: runs.toSorted() };
    }
}
console.log(JSON.stringify(report));
