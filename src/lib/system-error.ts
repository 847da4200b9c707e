/** EDQUOT of Linux, and of macOS and BSD. */
const QUOTA: ReadonlySet<number | undefined> = new Set([-122, -69])

/**
 * The name of what the system says of a file, such as `ENOSPC`; undefined: it is no error of the system. Node has none
 * for a quota that is used up: `UNKNOWN`, or a sentence with its number. Here it is `EDQUOT`.
 */
export function systemErrorCode(error: unknown): string | undefined {
  const { code, errno } = (error ?? {}) as NodeJS.ErrnoException
  return QUOTA.has(errno) ? 'EDQUOT' : code
}

/** Describes a file error for the user. */
export function describeFileError(error: unknown): string {
  const code = systemErrorCode(error)
  if (code === 'ENOSPC') return 'the disk is full'
  if (code === 'EDQUOT') return 'the quota of the user that runs Headgate is used up on its disk'
  if (code === 'EROFS') return 'the file system is read-only'
  if (code === 'EACCES' || code === 'EPERM') return 'permission denied; grant it to the user that runs Headgate'
  return error instanceof Error ? error.message : String(error)
}
