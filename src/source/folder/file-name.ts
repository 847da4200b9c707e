/** Distinguishes manifests and certificates from files of editors and the system by their names. */

const MANIFEST = /\.(ya?ml|json)$/i

/**
 * Hidden files (including `..data` and the dated folders of a mounted ConfigMap, which are read through their links),
 * and temporary files of editors: vim's swap files and its probe `4913`, backups with `~`, Emacs's `#name#`.
 */
const IGNORED = /^\.|~$|^#.*#$|^4913$|\.(sw[a-p]|tmp|temp|bak|part|crdownload)$|___jb_(tmp|old)___$/i

/** True for a name that is ignored, as a file and as a folder. */
export function isIgnored(name: string): boolean {
  return IGNORED.test(name)
}

/** True for `*.yaml`, `*.yml` and `*.json` that are not ignored. */
export function isManifest(name: string): boolean {
  return MANIFEST.test(name) && !IGNORED.test(name)
}

const CERTIFICATE_PART = /\.(crt|key|crl)$/

/** True for `*.crt`, `*.key` and `*.crl`, which make Secrets: see certificate-files.ts. */
export function isCertificatePart(name: string): boolean {
  return CERTIFICATE_PART.test(name) && !IGNORED.test(name)
}

/** True for every file that is read. */
export function isRead(name: string): boolean {
  return isManifest(name) || isCertificatePart(name)
}
