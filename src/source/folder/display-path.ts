import { basename, relative, sep } from 'node:path'

/**
 * Formats a path for messages: relative to the working directory where it is below it, else absolute. Control
 * characters, which could move a terminal's cursor or forge a line, are escaped.
 */
export function displayPath(path: string): string {
  const short = relative('', path)
  if (short === '') return escapeControls(basename(path))
  return escapeControls(short === '..' || short.startsWith(`..${sep}`) ? path : short)
}

function escapeControls(path: string): string {
  return path.replaceAll(
    /[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
