export const value = { imported: true };
