/** How long a body takes to read: time per call by size and kind of text. */
import { parseBody } from '../../src/request/parse-body.ts';

export interface ParseBodyFigure {
  readonly body: string;
  readonly bytes: number;
  readonly microseconds: number;
}

const limits = { promptHeadBytes: 8192, maxDepth: 128 };

/** Parses each kind of body for about `budgetMs`, and gives the mean of the best of five runs. */
export async function benchParseBody(budgetMs = 150): Promise<ParseBodyFigure[]> {
  const figures: ParseBodyFigure[] = [];
  for (const [name, body] of bodies()) {
    let best = Infinity;
    for (let run = 0; run < 5; run++) best = Math.min(best, await meanMicroseconds(body, budgetMs / 5));
    figures.push({ body: name, bytes: body.length, microseconds: Math.round(best * 10) / 10 });
  }
  return figures;
}

async function meanMicroseconds(body: Buffer, budgetMs: number): Promise<number> {
  const startMs = performance.now();
  let calls = 0;
  let elapsedMs = 0;
  while (elapsedMs < budgetMs) {
    for (let i = 0; i < 20; i++) {
      const parsed = parseBody(body, 'chat', limits);
      if (parsed instanceof Promise) await parsed;
      calls++;
      if (body.length > 1 << 20) break;
    }
    elapsedMs = performance.now() - startMs;
  }
  return (elapsedMs * 1000) / calls;
}

function bodies(): [string, Buffer][] {
  const words = 'hello world this is plain text of words ';
  const code = '  const value = call("x",\n';
  return [
    ['2 KB plain', chat(words, 2_000)],
    ['4 KB plain', chat(words, 4_000)],
    ['4 KB, 12 messages', manyMessages(words, 12, 300)],
    ['40 KB plain', chat(words, 40_000)],
    ['220 KB plain', chat(words, 220_000)],
    ['220 KB escaped', chat(code, 220_000)],
    ['220 KB, 200 messages', manyMessages(words, 200, 1060)],
    [
      '220 KB tokens',
      Buffer.from(
        JSON.stringify({
          model: 'm',
          messages: [],
          prompt: Array.from({ length: 36_000 }, (_, i) => 10_000 + i),
        }),
      ),
    ],
    ['220 KB Japanese', chat('これは普通の文章です。', 74_000)],
    ['16 MB plain', chat(words, 16_000_000)],
    ['16 MB escaped', chat(code, 16_000_000)],
    ['8 MB of [1,1,…', Buffer.from(`{"model":"m","messages":[${'1,'.repeat(4_000_000)}1]}`)],
  ];
}

function chat(unit: string, characters: number): Buffer {
  return request([{ role: 'user', content: unit.repeat(Math.ceil(characters / unit.length)) }]);
}

function manyMessages(unit: string, count: number, characters: number): Buffer {
  const content = unit.repeat(Math.ceil(characters / unit.length));
  return request(
    Array.from({ length: count }, (_, index) => ({ role: index % 2 ? 'assistant' : 'user', content })),
  );
}

function request(messages: readonly object[]): Buffer {
  return Buffer.from(
    JSON.stringify({
      model: 'meta-llama/Llama-3.1-8B-Instruct',
      messages,
      stream: true,
      temperature: 0.7,
      max_tokens: 256,
    }),
  );
}
