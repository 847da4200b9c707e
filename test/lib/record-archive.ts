/** The archive of responses over records of a test, with the key of an installation, which is all zeros. */
import { randomBytes } from 'node:crypto'
import { RecordArchive, type RecordArchiveOptions } from '../../src/store/archive/record-archive.ts'
import { systemTimers } from '../../src/thread/system-timers.ts'

const MASTER = new Uint8Array(32)

/** Of Redis by its name, and with bounds that no test reaches, where `options` say nothing else. */
export function recordArchive(
  options: Pick<RecordArchiveOptions, 'records'> & Partial<RecordArchiveOptions>,
): RecordArchive {
  return new RecordArchive({
    name: 'Redis',
    master: () => MASTER,
    time: systemTimers,
    randomBytes,
    deadline: 10_000,
    maxPutBytes: 1e9,
    maxBodyBytes: 1e9,
    ...options,
  })
}
