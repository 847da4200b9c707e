import { existsSync, mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'

/**
 * Makes a folder and those above it. `mkdirSync` with `recursive` never returns where the system answers ENOENT for a
 * folder whose parent is there, as below `/proc`.
 *
 * @param mode of folders that are made
 * @throws what the system says
 */
export function makeFolder(path: string, mode = 0o777): void {
  const missing: string[] = []
  for (let at = resolve(path); !existsSync(at); at = dirname(at)) missing.push(at)
  for (const one of missing.reverse()) mkdirSync(one, { mode })
}
