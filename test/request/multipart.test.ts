import { describe, expect, it } from '@jest/globals';
import { parseMultipartModel } from '../../src/request/multipart.ts';
import { Rejection } from '../../src/request/rejection.ts';
import { modelEdit, spliceBody } from '../../src/request/splice.ts';

const contentType = 'multipart/form-data; boundary=XyZ';

function part(disposition: string, value: string, more = ''): string {
  return `--XyZ\r\nContent-Disposition: form-data; ${disposition}\r\n${more}\r\n${value}\r\n`;
}

const file = part('name="file"; filename="a.mp3"', 'ID3\r\n--Xy \0\xff', 'Content-Type: audio/mpeg\r\n');
const model = part('name="model"', 'whisper');
const end = '--XyZ--\r\n';

function parse(body: string, type = contentType): string {
  return parseMultipartModel(Buffer.from(body, 'latin1'), type).model;
}

describe('parseMultipartModel()', () => {
  it.each([
    ['first', model + file + end],
    ['last', file + model + end],
    ['alone', model + end],
    ['without a line end after the form', file + model + end.trimEnd()],
    ['with an epilogue', `${model}${end}anything`],
    ['unquoted', part('name=model', 'whisper') + end],
    [
      'with odd case',
      part('NAME="model"', 'whisper').replace('Content-Disposition', 'content-disposition') + end,
    ],
    ['beside empty fields', part('name="prompt"', '') + model + end],
  ])('finds the model %s', (_case, body) => {
    expect(parse(body)).toBe('whisper');
  });

  it.each([
    ['quoted', 'multipart/form-data; boundary="XyZ"'],
    ['after a charset', 'multipart/form-data; charset=utf-8; boundary=XyZ'],
    ['in odd case', 'Multipart/Form-Data; Boundary=XyZ'],
  ])('reads a boundary %s', (_case, type) => {
    expect(parse(model + end, type)).toBe('whisper');
  });

  it('reads UTF-8', () => {
    const body = Buffer.from(part('name="model"', 'modèle') + end);
    expect(parseMultipartModel(body, contentType).model).toBe('modèle');
  });

  it.each([
    ['first', model + file + end],
    ['last', file + model + end],
    ['unquoted', part('name=model', 'whisper') + end],
  ])('says where the model is so that another can be put there: %s', (_case, text) => {
    const body = Buffer.from(text, 'latin1');
    const found = parseMultipartModel(body, contentType);
    const spliced = spliceBody(body, [modelEdit(found, 'modèle "große"')]);
    expect(parseMultipartModel(spliced, contentType).model).toBe('modèle "große"');
    expect(spliceBody(spliced, [modelEdit(parseMultipartModel(spliced, contentType), 'whisper')])).toEqual(
      body,
    );
  });

  it.each([
    ['no model', file + end, 'you must provide a model parameter'],
    ['a blank model', part('name="model"', ' ') + end, 'you must provide a model parameter'],
    ['an empty model', part('name="model"', '') + end, 'you must provide a model parameter'],
    ['two models', model + model + end, 'the model parameter is given more than once'],
    [
      'a file as model',
      part('name="model"; filename="x"', 'whisper') + end,
      'the model parameter must be a string',
    ],
    [
      'a long model',
      part('name="model"', 'm'.repeat(2000)) + end,
      'the model parameter is longer than 256 characters',
    ],
    [
      'a model with a line end',
      part('name="model"', 'a\nb') + end,
      'the model parameter contains control characters',
    ],
    [
      'a model that is not UTF-8',
      part('name="model"', '\xff') + end,
      'the model parameter is not valid UTF-8',
    ],
  ])('refuses %s', (_case, body, message) => {
    let rejection: unknown;
    try {
      parse(body);
    } catch (error) {
      rejection = error;
    }
    expect(rejection).toBeInstanceOf(Rejection);
    expect(rejection).toMatchObject({ message, param: 'model', reason: 'invalid-request' });
  });

  it.each([
    ['an empty body', '', contentType, 'it does not begin with its boundary'],
    ['a preamble', `hello\r\n${model}${end}`, contentType, 'it does not begin with its boundary'],
    [
      'a body that ends inside a part',
      '--XyZ\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper',
      contentType,
      'it ends inside a part',
    ],
    ['a body that ends after a part', model, contentType, 'it ends inside a part'],
    [
      'a longer boundary',
      (model + end).replaceAll('XyZ', 'XyZ1'),
      contentType,
      'a boundary is not followed by a line end',
    ],
    [
      'bare line feeds',
      (model + end).replaceAll('\r', ''),
      contentType,
      'a boundary is not followed by a line end',
    ],
    [
      'headers without end',
      `--XyZ\r\n${'x: y\r\n'.repeat(2000)}`,
      contentType,
      'the headers of a part do not end',
    ],
    [
      'a part without disposition',
      `--XyZ\r\nContent-Type: text/plain\r\n\r\nx\r\n${end}`,
      contentType,
      'a part needs one content-disposition of form-data',
    ],
    [
      'a part with two',
      part('name="x"', 'y', 'Content-Disposition: form-data; name="model"\r\n') + end,
      contentType,
      'a part needs one content-disposition of form-data',
    ],
    [
      'a folded header',
      part('name="x";\r\n name="model"', 'y') + end,
      contentType,
      'a header of a part is malformed',
    ],
    ['two names', part('name="x"; name="model"', 'y') + end, contentType, 'a part has more than one name'],
    ['an encoded name', part(`name*=utf-8''model`, 'y') + end, contentType, 'a part has more than one name'],
    ['an escaped name', part('name="mod\\el"', 'y') + end, contentType, 'a part has no plain name'],
    ['no name', part('filename="x"', 'y') + end, contentType, 'a part has no plain name'],
    ['no boundary', model + end, 'multipart/form-data', 'the content-type needs one valid boundary'],
    [
      'two boundaries',
      model + end,
      `${contentType}; boundary=b`,
      'the content-type needs one valid boundary',
    ],
    [
      'a boundary that is too long',
      model + end,
      `multipart/form-data; boundary=${'x'.repeat(71)}`,
      'the content-type needs one valid boundary',
    ],
    ['another charset', model + end, `${contentType}; charset=utf-16`, 'its charset is not UTF-8'],
    ['too many parts', part('name="x"', '').repeat(1001) + end, contentType, 'it has more than 1000 parts'],
  ])('refuses %s', (_case, body, type, what) => {
    expect(() => parse(body, type)).toThrow(`Cannot parse the request body as multipart/form-data: ${what}`);
  });
});
