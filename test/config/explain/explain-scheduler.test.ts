import { describe, expect, it } from '@jest/globals';
import { effectiveConfig } from '../../../src/config/explain/effective-config.ts';
import { explainScheduler } from '../../../src/config/explain/explain-scheduler.ts';
import { configForm } from '../../../src/config/json-schema.ts';
import { parseConfig } from '../../../src/config/load.ts';

/** The lines of the block of that title, runs of spaces as `|`. */
function block(title: string, scheduler: string): string[] | undefined {
  const loaded = parseConfig(scheduler, 'f');
  const form = configForm();
  const explained = explainScheduler(
    form,
    loaded.config.scheduler.profile,
    effectiveConfig(form, loaded),
    loaded.written,
  );
  return explained
    .find((candidate) => candidate.title === title)
    ?.lines.map((line) => line.replace(/ {2,}/g, ' | '));
}

describe('explainScheduler()', () => {
  it('lists filters in their order', () => {
    expect(
      block('Filters, in this order', 'plugins: { Filter: { enabled: [lora-affinity, least-request] } }'),
    ).toEqual([
      expect.stringMatching(/^lora-affinity \| Keeps /),
      expect.stringMatching(/^least-request \| Drops /),
    ]);
    expect(block('Filters', 'plugins: { Filter: { enabled: [] } }')).toEqual([
      'none: every endpoint that serves the model may be chosen',
    ]);
  });

  it('gives each scorer its share of the weights, also where one counts nothing', () => {
    const text =
      'plugins: { Score: { enabled: [{ name: kv-cache, weight: 1 }, { name: least-latency, weight: 2 }, { name: prefix-cache, weight: 0 }] } }';
    expect(block('Scorers', text)).toEqual([
      expect.stringMatching(/^kv-cache \| weight 1 \| 33\.3 % of the total \|/),
      expect.stringMatching(/^least-latency \| weight 2 \| 66\.7 % of the total \|/),
      expect.stringMatching(/^prefix-cache \| weight 0 \| 0 % of the total \|/),
    ]);
  });

  it('says that kv-cache and gpu-usage are the same, whichever is written', () => {
    for (const name of ['kv-cache', 'gpu-usage']) {
      expect(block('Scorers', `plugins: { Score: { enabled: [{ name: ${name}, weight: 1 }] } }`)).toEqual([
        expect.stringMatching(/^kv-cache \|.* The same as gpu-usage\.$/),
      ]);
    }
  });

  it('marks arguments that nobody wrote, however the others are spelled', () => {
    const text = `
pluginConfig: [{ name: least-request, args: { MaxWaitingRequests: 10 } }, { name: prefix-cache, args: { topKMatches: 2 } }]
plugins: { Score: { enabled: [{ name: least-request, weight: 1 }] } }`;
    expect(block('Arguments', text)).toEqual([
      'least-request | maxWaitingRequests | 10',
      ' | loadScale | 10 (default)',
      'prefix-cache | does not run: its arguments have no effect',
    ]);
  });

  it('says of the disabled whether that changes anything', () => {
    const remark = "`disabled` removes a plugin whatever enables it; Kthena's router ignores it.";
    expect(
      block(
        'Disabled',
        'plugins: { Filter: { disabled: [lora-affinity, least-request] }, Score: { enabled: [{ name: kv-cache, weight: 1 }, { name: prefix-cache, weight: 1 }], disabled: [{ name: gpu-usage }] } }',
      ),
    ).toEqual([
      'lora-affinity | filter | was not enabled',
      'least-request | filter | removed, though it is enabled by default',
      'kv-cache | scorer | removed, though it is enabled',
      remark,
    ]);
    expect(block('Disabled', 'plugins: {}')).toEqual([]);
  });

  it('has the other fields of the section', () => {
    expect(block('Decisions', 'scheduler: { maxEndpoints: 1 }')).toEqual([
      expect.stringMatching(/^maxEndpoints \| 1 \| How many endpoints/),
    ]);
  });
});
