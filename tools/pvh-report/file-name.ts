// What the file of a report is called: domain, time and crash, so that a folder of them tells something.

/** UTC without colons, which no file system refuses; undefined when it is no time. */
function timeText(seconds: number): string | undefined {
  const date = new Date(Math.floor(seconds) * 1000);
  return Number.isNaN(date.getTime())
    ? undefined
    : date
        .toISOString()
        .replace(/\.\d+Z$/, 'Z')
        .replaceAll(':', '_');
}

/**
 * @param folder how the name begins. @param time seconds since 1970: when it crashed by its own clock, or was looked at.
 * @param crash eight digits of the signature.
 */
export function reportName(folder: string, time: number | undefined, crash: string): string {
  const when = time === undefined ? undefined : timeText(time);
  return `${[folder, when, crash].filter((part) => part !== undefined).join('_')}.tar.gz`;
}
