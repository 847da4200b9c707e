import { basename, relative, sep } from 'node:path'

/** How a path is shown to a person: relative to the working directory where it lies below that, else absolute. */
export function displayPath(path: string): string {
  const short = relative('', path)
  if (short === '') return basename(path)
  return short === '..' || short.startsWith(`..${sep}`) ? path : short
}
