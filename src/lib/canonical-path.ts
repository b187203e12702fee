/**
 * The one spelling of a path. Engines decode percent-escapes before they match a path, and proxies on the way may merge
 * slashes and resolve dots: only where a path is spelled canonically do all of them see the same one.
 */

/**
 * The canonical spelling of a path without its query: unreserved characters and slashes are written plainly, other escapes
 * in upper case and once only (`%252e` is `%2e` is `.`, for whoever decodes twice); backslashes are slashes; slashes are
 * merged, dot segments resolved, a trailing slash dropped. Undefined where the path is not absolute or has a malformed escape.
 */
export function canonicalPath(path: string): string | undefined {
  if (!path.startsWith('/') || /%(?![0-9a-fA-F]{2})/.test(path)) return undefined;
  const decoded = path.replace(/%(?:25)+(?=[0-9a-fA-F]{2})/g, '%').replace(/%[0-9a-fA-F]{2}/g, (escape) => {
    const character = String.fromCharCode(parseInt(escape.slice(1), 16));
    return /[A-Za-z0-9\-._~/\\]/.test(character) ? character : escape.toUpperCase();
  });
  const segments: string[] = [];
  for (const segment of decoded.split(/[/\\]/)) {
    if (segment === '..') segments.pop();
    else if (segment !== '' && segment !== '.') segments.push(segment);
  }
  return `/${segments.join('/')}`;
}
