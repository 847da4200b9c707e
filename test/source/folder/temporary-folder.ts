import { mkdtempSync, rmSync } from 'node:fs'
import { mkdir, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type FolderOptions, FolderSource } from '../../../src/source/folder/folder-source.ts'
import { systemTimers } from '../../../src/thread/system-timers.ts'
import { type Manifest, Recorder } from '../../suite/source.ts'

/** A real folder with a real source on it, and everything that ever reads it heard. */
export class TemporaryFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'headgate-source-'))
  readonly heard = new Recorder()
  #source: FolderSource | undefined

  at(...names: string[]): string {
    return join(this.path, ...names)
  }

  /** As a program does that opens the file, cuts it to nothing and writes. */
  async write(name: string, text: string | Buffer): Promise<void> {
    await mkdir(dirname(this.at(name)), { recursive: true })
    await writeFile(this.at(name), text)
  }

  /** As editors and careful programs do. */
  async replace(name: string, text: string): Promise<void> {
    await writeFile(this.at('.new'), text)
    await rename(this.at('.new'), this.at(name))
  }

  async remove(name: string): Promise<void> {
    await rm(this.at(name), { recursive: true })
  }

  /** Not yet started. */
  source(options: FolderOptions = {}, folder = this.path): FolderSource {
    // The safety net is far away unless a test is about it, so that what arrives came by the system's own report.
    this.#source = new FolderSource(folder, systemTimers, { pollInterval: 60_000, ...options })
    return this.#source
  }

  /** Started and synced. */
  async watch(options: FolderOptions = {}, folder = this.path): Promise<FolderSource> {
    const source = this.source(options, folder)
    source.start(this.heard)
    await this.heard.untilSynced()
    return source
  }

  async close(): Promise<void> {
    await this.#source?.stop()
    rmSync(this.path, { recursive: true, force: true })
  }
}

export function fileOf({ kind, metadata }: Manifest): string {
  return `${kind}-${metadata.namespace ?? ''}-${metadata.name}.yaml`
}
