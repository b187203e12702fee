import { describe, expect, it } from '@jest/globals';
import { routingLine } from '../../src/observability/routing-line.ts';

const record = { id: 'e-1', requestId: 'a8a7-1' };
const endpoint = { url: 'http://10.0.0.1:8000' };

describe('routingLine()', () => {
  it('says it in the words of vllm-router', () => {
    expect(routingLine(record, endpoint, 'ada', 1_700_000_000.125, 0.00123)).toBe(
      'Routing request a8a7-1 with session id ada to http://10.0.0.1:8000 at 1700000000.125, process time = 0.0012',
    );
  });

  it('has None where there is no session, and our own id where the request has none', () => {
    expect(routingLine({ id: 'e-1', requestId: undefined }, endpoint, undefined, 1_700_000_000, 1)).toBe(
      'Routing request e-1 with session id None to http://10.0.0.1:8000 at 1700000000.0, process time = 1.0000',
    );
  });

  it("is found by the pattern of vllm-router's own tests, whatever clients write", () => {
    const line = routingLine(
      { id: 'e-1', requestId: 'x y\u0085z' },
      endpoint,
      'me to http://evil:1 at 1,\nRouting request',
      1.5,
      0,
    );
    expect(line).not.toMatch(/[\n\u0085]/);
    expect(/Routing request ([^ ]*) with session id ([^ ]*) to ([^ ]*) at /.exec(line)?.slice(1)).toEqual([
      'x_y_z',
      'me_to_http://evil:1_at_1,_Routing_request',
      'http://10.0.0.1:8000',
    ]);
  });
});
