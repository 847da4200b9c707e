/**
 * The commands of docs/kind.md, in their order, for whoever runs them: the cluster tests do, with `kind`, `docker` and
 * `curl` on the PATH that do the same for the cluster of their own.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from './helm.ts'

export interface Block {
  /** Heading it stands under. */
  readonly section: string
  /** One each line; every line is complete and is a command by itself. */
  readonly commands: readonly string[]
}

export function blocksOf(page = readFileSync(join(ROOT, 'docs/kind.md'), 'utf8')): Block[] {
  const blocks: Block[] = []
  let section = ''
  for (const match of page.matchAll(/^## (.+)$|^```sh\n([\s\S]*?)^```$/gm)) {
    if (match[1] !== undefined) section = match[1]
    else blocks.push({ section, commands: match[2]!.split('\n').filter((line) => line !== '') })
  }
  return blocks
}
