/**
 * Finds the model in a multipart/form-data body, as audio uploads send it, without copying the files.
 *
 * Multipart parsers differ in what they forgive. What two of them could read differently is refused, so that the engine
 * cannot see another model than we do: a second model field, a preamble, folded or repeated headers, escapes in names.
 */
import { invalidModel, readModelName } from './model-name.ts';
import type { ModelField } from './parsed-request.ts';
import { Rejection } from './rejection.ts';

const headerEnd = Buffer.from('\r\n\r\n');
/** A part's headers are a few hundred bytes; more is not a form. */
const maxHeaderBytes = 4096;
const maxParts = 1000;

/**
 * The form field `model`.
 * @throws Rejection `invalid-request` where there is none, or the form is malformed.
 */
export function parseMultipartModel(body: Buffer, contentType: string): ModelField {
  const dashBoundary = Buffer.from(`--${boundaryOf(contentType)}`);
  const delimiter = Buffer.concat([Buffer.from('\r\n'), dashBoundary]);
  if (!body.subarray(0, dashBoundary.length).equals(dashBoundary))
    throw malformed('it does not begin with its boundary');
  let found: ModelField | undefined;
  let position = dashBoundary.length;
  for (let parts = 0; ; parts++) {
    if (body[position] === 0x2d && body[position + 1] === 0x2d) break;
    if (body[position] !== 0x0d || body[position + 1] !== 0x0a)
      throw malformed('a boundary is not followed by a line end');
    if (parts === maxParts) throw malformed(`it has more than ${maxParts} parts`);
    const headersStart = position + 2;
    const headersEnd = body.subarray(headersStart, headersStart + maxHeaderBytes).indexOf(headerEnd);
    if (headersEnd < 0) throw malformed('the headers of a part do not end');
    const part = readPartHeaders(body.toString('utf8', headersStart, headersStart + headersEnd));
    const valueStart = headersStart + headersEnd + headerEnd.length;
    // An empty value ends where its headers do: the delimiter begins with their last line end.
    const valueEnd = body.indexOf(delimiter, valueStart - 2);
    if (valueEnd < 0) throw malformed('it ends inside a part');
    if (part.name === 'model') {
      if (found !== undefined) throw invalidModel('the model parameter is given more than once');
      if (part.isFile) throw invalidModel('the model parameter must be a string');
      const model = readModelName(body.subarray(valueStart, Math.max(valueStart, valueEnd)));
      found = { model, modelSpan: { start: valueStart, end: valueEnd }, modelForm: 'plain' };
    }
    position = valueEnd + delimiter.length;
  }
  if (found === undefined) throw invalidModel('you must provide a model parameter');
  return found;
}

function malformed(what: string): Rejection {
  return new Rejection('invalid-request', `Cannot parse the request body as multipart/form-data: ${what}`);
}

/** RFC 2046: 1 to 70 characters of a small set. */
function boundaryOf(contentType: string): string {
  // Engines decode fields by it.
  if (/;\s*charset=(?!"?utf-8"?\s*(?:;|$))/i.test(contentType)) throw malformed('its charset is not UTF-8');
  const boundaries = [...contentType.matchAll(/;\s*boundary=(?:"([^"\\]*)"|([^\s;"]+))/gi)];
  const boundary = boundaries[0]?.[1] ?? boundaries[0]?.[2];
  if (
    boundaries.length !== 1 ||
    boundary === undefined ||
    !/^[\w'()+,\-./:=? ]{0,69}[\w'()+,\-./:=?]$/.test(boundary)
  ) {
    throw malformed('the content-type needs one valid boundary');
  }
  return boundary;
}

function readPartHeaders(text: string): { readonly name: string; readonly isFile: boolean } {
  const lines = text.split('\r\n');
  if (lines.some((line) => !/^[\w!#$%&'*+\-.^`|~]+:[^\r\n]*$/.test(line)))
    throw malformed('a header of a part is malformed');
  const dispositions = lines.filter((line) => /^content-disposition:/i.test(line));
  const match = /^content-disposition:\s*form-data((?:\s*;\s*[\w*\-]+=(?:"[^"]*"|[^\s;"]+))*)\s*;?\s*$/i.exec(
    dispositions[0] ?? '',
  );
  if (dispositions.length !== 1 || match === null)
    throw malformed('a part needs one content-disposition of form-data');
  let name: string | undefined;
  let isFile = false;
  for (const [, key, quoted, token] of match[1]!.matchAll(/;\s*([\w*\-]+)=(?:"([^"]*)"|([^\s;"]+))/g)) {
    const lower = key!.toLowerCase();
    if (lower === 'filename' || lower === 'filename*') isFile = true;
    if (lower === 'name*' || (lower === 'name' && name !== undefined))
      throw malformed('a part has more than one name');
    if (lower === 'name') name = quoted ?? token!;
  }
  if (name === undefined || /[\\%]/.test(name)) throw malformed('a part has no plain name');
  return { name, isFile };
}
